# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looking at a letter before it leaves: the same draft that the decision would send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.forms import Form
from django.http import HttpRequest, HttpResponse

from accounts import clock
from accounts.refusals import Refused
from gdpr.letters import drafts
from gdpr.letters.drafts import Draft

# What the buttons of the form are called, and the value of the one for the PDF.
LOOK = "look"
PDF = "pdf"


@dataclass(frozen=True, slots=True)
class Look:
    """What staff see: the draft, None where nothing is sent; its PDF when that was asked for."""

    draft: Draft | None
    pdf: bytes = b""


def is_asked(request: HttpRequest) -> bool:
    """Say whether the form was sent to look and not to decide."""
    return LOOK in request.POST


def look(request: HttpRequest, form: Form, write: Callable[[], Draft | None]) -> Look | None:
    """Return the look that was asked for, None where there is none to give.

    What the letter lacks stands on the form afterwards, as it would if it were decided.
    """
    if not is_asked(request) or not form.is_valid():
        return None
    try:
        draft = write()
        as_pdf = request.POST[LOOK] == PDF
        pdf = drafts.typeset(draft, clock.now()) if draft is not None and as_pdf else b""
    except Refused as refused:
        form.add_error(None, str(refused))
        return None
    return Look(draft, pdf)


def as_page(pdf: bytes) -> HttpResponse:
    """Return a PDF that the browser shows."""
    response = HttpResponse(pdf, content_type=drafts.PDF_TYPE)
    response.headers["Content-Disposition"] = "inline"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
