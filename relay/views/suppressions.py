# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that get no mail: list, look for one, add, import, export, remove."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import audit, uploads, vault
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    member_required,
)
from accounts.models import Organisation
from accounts.models.organisations import BUILDERS, READERS
from accounts.refusals import Refused
from accounts.tenancy import organisation_context
from accounts.views.answers import form_page, refusal, refusals_to
from relay import suppressions as acts
from relay.downloads import File
from relay.forms.suppressions import AddressForm, ImportForm, RemovalForm, SuppressionForm
from relay.log import Place
from relay.models import SendingDomain, Suppression
from relay.views import onward
from relay.views.log import sees_masked

LIST, NEW = "relay/suppressions.html", "relay/suppression_new.html"
IMPORT, REMOVE = "relay/suppressions_import.html", "relay/suppression_remove.html"
PURPOSE = "suppression-search"


@form_page
@member_required(*READERS)
def listed(request: HttpRequest) -> HttpResponse:
    """A search is posted, so that no address stands in an address line; then it is read sealed."""
    if request.method != "POST":
        return _page(request, _opened(request))
    form = AddressForm(request.POST)
    if not form.is_valid():
        return render(request, LIST, {"form": form, "masked": sees_masked(request)})
    address, owner = form.cleaned_data["address"], current_organisation(request).id
    sealed = vault.seal_text(PURPOSE, address, organisation_id=owner)
    return redirect(f"{reverse('relay:suppressions')}?{urlencode({'search': sealed})}")


def _opened(request: HttpRequest) -> str:
    sealed, owner = request.GET.get("search", ""), current_organisation(request).id
    try:
        return vault.unseal_text(PURPOSE, sealed, organisation_id=owner)
    except vault.VaultError:
        return ""


def _page(request: HttpRequest, address: str) -> HttpResponse:
    before = Place.parse(request.GET.get("before", ""), UUID)
    rows, onto = acts.listed(current_organisation(request).id, address, before)
    here = reverse("relay:suppressions")
    context = {
        "form": AddressForm(initial={"address": address}),
        "masked": sees_masked(request),
        "searched": address,
        "rows": rows,
        "newest": here if before else "",
        "older": f"{here}?{urlencode({'before': str(onto)})}" if onto else "",
    }
    return render(request, LIST, context)


@form_page
@member_required(*BUILDERS)
def suppression_new(request: HttpRequest) -> HttpResponse:
    rows = SendingDomain.objects.for_organisation(current_organisation(request).id)
    names = list(rows.order_by("name").values_list("name", flat=True))
    form = SuppressionForm(request.POST or None, domains=names)
    if not form.is_valid():
        return render(request, NEW, {"form": form})
    data, by = form.cleaned_data, current_membership(request)
    try:
        reason = Suppression.Reason(data["reason"])
        row = acts.add(data["address"], data["domain"], reason, by=by)
    except Refused as refused:
        return refusal(request, NEW, form, refused)
    onward.cancel_suppressed(row.id)
    messages.success(request, _("On the list within seconds. What waits for it is cancelled."))
    return redirect("relay:suppressions")


@form_page
@member_required(*BUILDERS)
def suppressions_import(request: HttpRequest) -> HttpResponse:
    try:
        uploads.demand_small(request, acts.FileTooLarge)
    except Refused as refused:
        return render(request, IMPORT, {"form": ImportForm(), "refused": str(refused)})
    form = ImportForm(request.POST or None, request.FILES or None)
    if not form.is_valid():
        return render(request, IMPORT, {"form": form})
    data, by = form.cleaned_data, current_membership(request)
    try:
        found = acts.bring_in(data["file"], only_look=data["only_look"], by=by)
    except Refused as refused:
        return refusal(request, IMPORT, form, refused)
    if found.added and not data["only_look"]:
        onward.cancel_imported(by.organisation_id)
    context: dict[str, Any] = {"form": ImportForm(), "found": found, "only_look": data["only_look"]}
    return render(request, IMPORT, context)


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:suppressions")
def suppressions_export(request: HttpRequest) -> HttpResponse:
    """Streamed: the list may be long. Every address on it, so not for who sees them masked."""
    organisation, by = current_organisation(request), current_membership(request)
    lines = _in_context(organisation, acts.exported(organisation))
    file = File(organisation.id, acts.FILES, lines)
    audit.record(by.user, "organisation.suppressions-exported", organisation)
    response = StreamingHttpResponse(file, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="suppressions.csv"'
    # The guards' types know whole answers alone.
    return cast(HttpResponse, response)


def _in_context(organisation: Organisation, lines: Iterator[str]) -> Iterator[bytes]:
    """Give each piece in a context of its own: the request's is over by the first."""
    while True:
        with organisation_context(organisation.id):
            piece = next(lines, None)
        if piece is None:
            return
        yield piece.encode()


@form_page
@member_required(*BUILDERS)
def suppression_remove(request: HttpRequest, suppression_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Suppression, suppression_id)
    form = RemovalForm(request.POST if request.method == "POST" else None)
    context = {"row": row, "is_wish": row.reason in acts.WISHES}
    if request.method != "POST" or not form.is_valid():
        return render(request, REMOVE, {"form": form, **context})
    try:
        confirmed = form.cleaned_data["wants_again"]
        acts.remove(row, confirmed=confirmed, by=current_membership(request))
    except Refused as refused:
        return refusal(request, REMOVE, form, refused, **context)
    messages.success(request, _("Removed. It gets mail again within seconds."))
    return redirect("relay:suppressions")
