# SPDX-License-Identifier: AGPL-3.0-or-later
"""An organisation's inbox: requests of the people whom its mail is about, with their clocks."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    member_required,
)
from accounts.models import Role
from accounts.models.organisations import KEEPERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal
from gdpr.clocks import Reading, read_forwarded
from gdpr.correspondents.addresses import canonical
from gdpr.enquiries import forwarding
from gdpr.enquiries import inbox as acts
from gdpr.enquiries.forms import RecordForm
from gdpr.enquiries.forwarding import Content
from gdpr.models import ForwardedRequest
from gdpr.views.correspondents import sealed

PAGE_LENGTH = 20
ONE = "gdpr/inbox_request.html"
READERS = KEEPERS | {Role.PRIVACY}


@dataclass(frozen=True, slots=True)
class Line:
    """A request as the list shows it; `content` is None where its key does not open it."""

    row: ForwardedRequest
    content: Content | None
    reading: Reading | None


@require_safe
@member_required(*READERS)
@never_cache
def inbox(request: HttpRequest) -> HttpResponse:
    rows = acts.listed(current_organisation(request).id)
    page = Paginator(rows, PAGE_LENGTH).get_page(request.GET.get("page"))
    lines = [Line(row, forwarding.readable(row), _reading(row)) for row in page]
    return render(request, "gdpr/inbox.html", {"page": page, "lines": lines})


@form_page
@member_required(*READERS)
@never_cache
def inbox_request(request: HttpRequest, row_id: UUID) -> HttpResponse:
    row, now = get_for_organisation(request, ForwardedRequest, row_id), clock.now()
    form = RecordForm(request.POST or None, moves=acts.moves(row, now))
    content = forwarding.readable(row)
    context = {
        "row": row,
        "content": content,
        "sealed": sealed(row.organisation_id, canonical(content.address)) if content else "",
        "reading": _reading(row),
        "open": row.is_open,
        "contact": settings.PRIVACY_EMAIL,
    }
    if not form.is_valid():
        return render(request, ONE, {"form": form, **context})
    try:
        by, said = current_membership(request), form.cleaned_data
        acts.record(row, said["what"], by, now, reason=said["reason"])
    except Refused as refused:
        return refusal(request, ONE, form, refused, **context)
    messages.success(request, _("Noted."))
    return redirect("gdpr:inbox-request", row.id)


def _reading(row: ForwardedRequest) -> Reading | None:
    return read_forwarded(row, clock.now()) if row.is_open else None
