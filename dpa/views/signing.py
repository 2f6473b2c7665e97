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

from accounts import clock
from accounts.access import (
    current_membership,
    current_person,
    get_for_organisation,
    member_context,
    outside_context,
)
from accounts.refusals import Refused
from accounts.twofactor import has_device
from accounts.views.answers import form_page, refusal, refusals_to, step_up_required
from dpa import offering, press, signing
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
            signing.demand_signable(row, by=current_membership(request))
        except Refused as refused:
            return render(request, UNSIGNABLE, {"agreement": row, "reason": str(refused)})
        document = row.documents.get()
    shown = {"agreement": row, "document": document}
    language = get_language() or "da"
    known = {"document": bytes(document.sha256).hex(), "language": language}
    form = SignForm(request.POST or None, initial=known)
    if form.is_valid():
        try:
            return _signed(request, row, form)
        except Refused as refused:
            with member_context(request):
                return refusal(request, SIGN, form, refused, **shown)
    with member_context(request):
        return render(request, SIGN, {"form": form, **shown})


def _signed(request: HttpRequest, row: Agreement, form: SignForm) -> HttpResponse:
    by, now = current_membership(request), clock.now()
    declaration = _declaration(request, form)
    with member_context(request):
        content = signing.content_to_sign(row, declaration, by=by, now=now)
    signed = signing.set_signature(row, content, now)
    with member_context(request):
        signing.record_signature(row.id, signed, declaration, by=by, now=now)
    messages.success(request, _("Signed. Our seal follows by itself, and both get it by mail."))
    return redirect("dpa:agreements")


def _declaration(request: HttpRequest, form: SignForm) -> Declaration:
    with member_context(request):
        proof = "second-factor" if has_device(current_person(request)) else "password"
    return Declaration(
        document=form.cleaned_data["document"],
        language=form.cleaned_data["language"],
        authenticated=proof,
    )
