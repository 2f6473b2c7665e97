# SPDX-License-Identifier: AGPL-3.0-or-later
"""Issuing a version and signing it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts import clock, limits, stepup
from accounts.access import (
    current_membership,
    get_for_organisation,
    member_context,
    outside_context,
)
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusals_to, step_up_required
from dpa import offering, press, sealing, signing, texts
from dpa.forms import SignForm
from dpa.models import Agreement
from dpa.signing import Declaration
from dpa.views.guards import signers

SIGN = "dpa/sign.html"
UNSIGNABLE = "dpa/unsignable.html"


@require_POST
@outside_context
@signers
@refusals_to("dpa:agreements")
def issue(request: HttpRequest) -> HttpResponse:
    """Make the version that this person is to sign, unless it is there already."""
    by, now = current_membership(request), clock.now()
    with member_context(request):
        offering.demand_possible(by)
        made = offering.draft(by, now)
        row = offering.reusable(by, made)
    if row is None:
        limits.check(offering.ISSUES, str(by.organisation_id))
        with signing.unless_the_press_stands():
            content = press.make_pdf(made.facts)
        with member_context(request):
            row = offering.issue(made, content, by=by, now=now)
    return redirect("dpa:sign", row.id)


@form_page
@outside_context
@signers
@never_cache
@step_up_required
def sign(request: HttpRequest, agreement_id: UUID) -> HttpResponse:
    """Show what is signed, with its hash, and sign what comes back with the same hash."""
    with member_context(request):
        row = get_for_organisation(request, Agreement, agreement_id)
        try:
            signing.demand_signable(row, by=current_membership(request), now=clock.now())
        except Refused as refused:
            return _unsignable(request, row, refused)
        document = row.documents.get()
    language = get_language() or "da"
    shown = {
        "document": bytes(document.sha256).hex(),
        "declared": texts.signing_reference(language),
    }
    form = SignForm(request.POST or None, initial=shown, language=language)
    if form.is_valid():
        return _signed(request, row, form, language)
    with member_context(request):
        return render(request, SIGN, {"form": form, "agreement": row, "document": document})


def _unsignable(request: HttpRequest, row: Agreement, refused: Refused) -> HttpResponse:
    context = {
        "agreement": row,
        "reason": str(refused),
        "anew": isinstance(refused, signing.ANEW),
    }
    return render(request, UNSIGNABLE, context)


def _signed(request: HttpRequest, row: Agreement, form: SignForm, language: str) -> HttpResponse:
    by, now, declaration = current_membership(request), clock.now(), _declaration(request, form)
    try:
        with member_context(request):
            content = signing.content_to_sign(row, declaration, language=language, by=by, now=now)
        signed = signing.set_signature(row, content, now)
        with member_context(request):
            signing.record_signature(row.id, signed, declaration, by=by, now=now)
    except Refused as refused:
        # The page is read again from the start: what it showed may be what is refused.
        messages.error(request, str(refused))
        return redirect("dpa:sign", row.id)
    messages.success(request, _what_follows())
    return redirect("dpa:agreements")


def _what_follows() -> str:
    if sealing.is_held():
        return _("Signed. A person at our end sets our seal; then both get it by mail.")
    return _("Signed. Our seal follows by itself, and both get it by mail.")


def _declaration(request: HttpRequest, form: SignForm) -> Declaration:
    proof = stepup.proof(request)
    assert proof is not None, "step_up_required has asked"
    return Declaration(
        document=form.cleaned_data["document"],
        terms=form.cleaned_data["declared"],
        means=proof.means,
        proved_at=proof.at,
    )


@form_page
@signers
def withdraw(request: HttpRequest, agreement_id: UUID) -> HttpResponse:
    """Take back a version that not both have signed."""
    row = get_for_organisation(request, Agreement, agreement_id)
    if request.method != "POST":
        return render(request, "dpa/withdraw.html", {"agreement": row})
    try:
        signing.withdraw(row.id, by=current_membership(request), now=clock.now())
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        number = {"number": row.number}
        messages.success(request, _("Version %(number)s is taken back.") % number)
    return redirect("dpa:agreements")
