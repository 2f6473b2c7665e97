# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own sealed letters, and asking that somebody else looks at an answer again."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import current_person, person_required, while_restricted
from accounts.refusals import Refused
from accounts.views.answers import form_page
from gdpr import requests, secondlooks
from gdpr.forms import SecondLookForm
from gdpr.letters import drafts
from gdpr.models import Letter, RequestedRight

SECOND_LOOK = "gdpr/second_look.html"


@require_safe
@while_restricted
@person_required
@never_cache
def letter(request: HttpRequest, request_id: UUID, letter_id: UUID) -> HttpResponse:
    """Give a letter to the person whom it was written to, as it left."""
    own = Letter.objects.filter(right__request__person=current_person(request), due_at=None)
    row = get_object_or_404(
        own.select_related("right__request"), pk=letter_id, right__request_id=request_id
    )
    return as_file(row)


def as_file(row: Letter) -> HttpResponse:
    """Return the PDF of a letter. Raises vault.VaultError."""
    response = HttpResponse(drafts.content(row), content_type=drafts.PDF_TYPE)
    name = drafts.file_name(row.right, row.kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@form_page
@while_restricted
@person_required
@never_cache
def second_look(request: HttpRequest, request_id: UUID, right: str) -> HttpResponse:
    person = current_person(request)
    own = RequestedRight.objects.filter(request__person=person).select_related("request")
    row = get_object_or_404(own, request_id=request_id, right=right)
    form = SecondLookForm(request.POST if request.method == "POST" else None)
    if not requests.may_look_again(row):
        return _not_again(request, request_id)
    if not form.is_valid():
        return render(request, SECOND_LOOK, {"form": form, "row": row})
    try:
        made = secondlooks.ask(row, person, form.cleaned_data["words"], clock.now())
    except Refused:
        return _not_again(request, request_id)
    messages.success(request, _("Received. Somebody who took no part in the answer looks at it."))
    return redirect("gdpr:request", made.request_id)


def _not_again(request: HttpRequest, request_id: UUID) -> HttpResponse:
    messages.error(request, _("Only an answer can be looked at again, and once."))
    return redirect("gdpr:request", request_id)
