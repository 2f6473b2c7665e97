# SPDX-License-Identifier: AGPL-3.0-or-later
"""Credentials: list, make (the secret is shown once), use, change, block, revoke."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.access import (
    current_membership,
    current_organisation,
    current_person,
    get_for_organisation,
    member_required,
)
from accounts.models import Membership
from accounts.models.organisations import BUILDERS, READERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal, step_up_required
from relay import credentials as acts
from relay import snippets
from relay.credentials import CredentialBounds
from relay.forms.credentials import CredentialBoundsForm, CredentialForm, written
from relay.models import Credential, SendingDomain

PAGE_LENGTH = 50
NEW, EDIT = "relay/credential_new.html", "relay/credential_edit.html"
SHOW = "relay:credential"
PROVEN = (SendingDomain.State.VERIFIED, SendingDomain.State.FAILING)


@require_safe
@member_required(*READERS)
def credentials(request: HttpRequest) -> HttpResponse:
    rows = Credential.objects.for_organisation(current_organisation(request).id)
    page = Paginator(acts.listed(rows), PAGE_LENGTH).get_page(request.GET.get("page"))
    return render(request, "relay/credentials.html", {"page": page})


@form_page
@never_cache
@member_required(*BUILDERS)
@step_up_required
def credential_new(request: HttpRequest) -> HttpResponse:
    """Make a credential and show its secret in the very answer: it is not kept anywhere."""
    membership = current_membership(request)
    form = CredentialForm(request.POST or None, initial={"mode": _likely_mode(membership)})
    bounds = _bounds_form(request, acts.USUAL)
    if not (form.is_valid() and bounds.is_valid()):
        return render(request, NEW, {"form": form, "bounds": bounds})
    mode = Credential.Mode(form.cleaned_data["mode"])
    try:
        issued = acts.issue(form.cleaned_data["name"], mode, bounds.bounds(), by=membership)
    except Refused as refused:
        return refusal(request, NEW, form, refused, bounds=bounds)
    context = _use(request, issued.credential) | {"secret": issued.secret}
    return render(request, "relay/credential_issued.html", context)


def _bounds_form(request: HttpRequest, bounds: CredentialBounds) -> CredentialBoundsForm:
    rows = SendingDomain.objects.for_organisation(current_organisation(request).id)
    proven = rows.filter(state__in=PROVEN).values_list("name", flat=True)
    return CredentialBoundsForm(
        request.POST or None, initial=written(bounds), proven=frozenset(proven)
    )


def _likely_mode(membership: Membership) -> Credential.Mode:
    may_send = membership.organisation.sending_allowed
    return Credential.Mode.LIVE if may_send else Credential.Mode.SANDBOX


@require_safe
@member_required(*READERS)
def credential(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Credential, credential_id)
    return render(request, "relay/credential.html", _use(request, row))


def _use(request: HttpRequest, row: Credential) -> dict[str, object]:
    domains = SendingDomain.objects.for_organisation(current_organisation(request).id)
    proven = domains.filter(state=SendingDomain.State.VERIFIED).order_by("verified_at", "name")
    own = row.domains[0] if row.domains else proven.values_list("name", flat=True).first()
    return {
        "credential": row,
        "server": snippets.server(),
        "snippets": snippets.snippets(row.username, own or "your-domain.example"),
    }


@form_page
@member_required(*BUILDERS)
@step_up_required
def credential_edit(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    """Change what it may: that can let somebody in without a secret, so it is asked who it is."""
    row = get_for_organisation(request, Credential, credential_id)
    form = _bounds_form(request, CredentialBounds.of(row))
    if not form.is_valid():
        return render(request, EDIT, {"form": form, "credential": row})
    try:
        acts.change(row, form.bounds(), by=current_person(request))
    except Refused as refused:
        return refusal(request, EDIT, form, refused, credential=row)
    messages.success(request, _("Saved. It counts from the next message on."))
    return redirect(SHOW, row.id)


@require_POST
@member_required(*BUILDERS)
def credential_block(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    return _stand(request, credential_id, acts.block, _("Blocked. It opens nothing for now."))


@require_POST
@member_required(*BUILDERS)
def credential_unblock(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    return _stand(request, credential_id, acts.unblock, _("The block is lifted. It works again."))


def _stand(
    request: HttpRequest, credential_id: UUID, act: Callable[..., None], done: str
) -> HttpResponse:
    """Block or unblock, and say so on the credential's page."""
    row = get_for_organisation(request, Credential, credential_id)
    try:
        act(row, by=current_person(request))
        messages.success(request, done)
    except Refused as refused:
        messages.error(request, str(refused))
    return redirect(SHOW, row.id)


@form_page
@member_required(*BUILDERS)
def credential_revoke(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Credential, credential_id)
    if request.method != "POST":
        return render(request, "relay/credential_revoke.html", {"credential": row})
    acts.revoke(row, by=current_person(request))
    messages.success(request, _("Revoked. It opens nothing any more, anywhere, within 5 seconds."))
    return redirect("relay:credentials")
