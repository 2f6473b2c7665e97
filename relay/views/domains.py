# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sending domains: list, add, prove by a TXT record, remove; the keys that sign for one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.access import (
    current_membership,
    current_organisation,
    get_for_organisation,
    is_fragment,
    member_context,
    member_required,
    outside_context,
)
from accounts.models.organisations import BUILDERS, READERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal
from relay import cards, dkimkeys, verification
from relay import domains as acts
from relay.forms.domains import DomainForm
from relay.models import DkimKey, SendingDomain

PAGE_LENGTH = 50
NEW = "relay/domain_new.html"


@require_safe
@member_required(*READERS)
def domains(request: HttpRequest) -> HttpResponse:
    rows = SendingDomain.objects.for_organisation(current_organisation(request).id)
    page = Paginator(rows.order_by("name"), PAGE_LENGTH).get_page(request.GET.get("page"))
    return render(request, "relay/domains.html", {"page": page})


@form_page
@member_required(*BUILDERS)
def domain_new(request: HttpRequest) -> HttpResponse:
    form = DomainForm(request.POST or None)
    if not form.is_valid():
        return render(request, NEW, {"form": form})
    try:
        row = acts.add(form.cleaned_data["name"], by=current_membership(request))
    except Refused as refused:
        return refusal(request, NEW, form, refused)
    messages.success(request, _("Added. Now publish the record below, then have it checked."))
    return redirect("relay:domain", row.id)


@require_safe
@member_required(*READERS)
def domain(request: HttpRequest, domain_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, SendingDomain, domain_id)
    return render(request, "relay/domain.html", _told(row))


@require_POST
@outside_context
@member_required(*BUILDERS)
def domain_verify(request: HttpRequest, domain_id: UUID) -> HttpResponse:
    """Look for the records now; htmx gets what was seen, everybody else the whole page again."""
    with member_context(request):
        row = get_for_organisation(request, SendingDomain, domain_id)
    refused = ""
    try:
        row = acts.check(row, by=current_membership(request))
    except SendingDomain.DoesNotExist:
        raise Http404 from None
    except Refused as error:
        refused = str(error)
    if is_fragment(request):
        with member_context(request):
            told = _told(row) | {"refused": refused}
            return render(request, "relay/_domain_looks.html", told)
    if refused:
        messages.error(request, refused)
    return redirect("relay:domain", row.id)


def _told(row: SendingDomain) -> dict[str, object]:
    return {
        "domain": row,
        "record": verification.record(row),
        "until": row.verified_at and row.verified_at + verification.GRACE,
        "shown": cards.shown(row, clock.now()),
    }


@require_POST
@outside_context
@member_required(*BUILDERS)
def domain_keys(request: HttpRequest, domain_id: UUID) -> HttpResponse:
    """Make keys that sign once their records are seen; the ones before sign until then."""
    by = current_membership(request)
    with member_context(request):
        get_for_organisation(request, SendingDomain, domain_id)
    try:
        secrets = dkimkeys.new_secrets(by=by)
        with member_context(request):
            row = get_for_organisation(request, SendingDomain, domain_id)
            dkimkeys.make(row, secrets, by=by)
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("New keys are made. Now publish their records."))
    return redirect("relay:domain", domain_id)


@require_POST
@member_required(*BUILDERS)
def key_retire(request: HttpRequest, key_id: UUID) -> HttpResponse:
    key = get_for_organisation(request, DkimKey, key_id)
    dkimkeys.retire(key, by=current_membership(request))
    messages.success(request, _("The key signs no more, within a minute everywhere."))
    return redirect("relay:domain", key.domain_id)


@form_page
@member_required(*BUILDERS)
def key_remove(request: HttpRequest, key_id: UUID) -> HttpResponse:
    key = get_for_organisation(request, DkimKey, key_id)
    if request.method != "POST":
        return render(request, "relay/key_remove.html", {"key": cards.shown_key(key, clock.now())})
    try:
        dkimkeys.remove(key, by=current_membership(request))
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("The key is removed. Its record can go as well."))
    return redirect("relay:domain", key.domain_id)


@form_page
@member_required(*BUILDERS)
def domain_remove(request: HttpRequest, domain_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, SendingDomain, domain_id)
    if request.method != "POST":
        context = {"domain": row, "routes": acts.routes_of(row)}
        return render(request, "relay/domain_remove.html", context)
    acts.remove(row, by=current_membership(request))
    messages.success(request, _("%(name)s is removed.") % {"name": row.name})
    return redirect("relay:domains")
