# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasing one's own account: what it would do, asking, thinking it over, and the certificate."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.access import current_person, person_required, while_restricted
from accounts.links import LinkInvalid
from accounts.models import User
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page, refusals_to, step_up_required
from gdpr.erasing import certificate, plan
from gdpr.models import Erasure
from gdpr.rights import erasure as acts

PAGE = "gdpr:erasure"


@require_safe
@while_restricted
@person_required
@never_cache
def erasure(request: HttpRequest) -> HttpResponse:
    """Before it is asked for: what it would do; afterwards: what it will, and the way back."""
    person = current_person(request)
    running = acts.open_erasure(person)
    if running is None and person.restricted_at:
        # Who is restricted for another reason is led here as well (accounts/access.py).
        return redirect("gdpr:restriction")
    if running is not None:
        return render(request, "gdpr/erasure_waiting.html", _waiting(running, person))
    context = {
        "outlook": acts.outlook(),
        "obstacles": acts.obstacles(person),
        "hours": acts.COOL_DOWN_HOURS,
        "backup_days": settings.BACKUP_DAYS,
    }
    return render(request, "gdpr/erasure.html", context)


def _waiting(running: Erasure, person: User) -> dict[str, object]:
    drawn = plan.Plan.from_json(running.report["plan"]) if "plan" in running.report else None
    return {
        "erasure": running,
        "cancellable": running.state == Erasure.State.WAITING,
        "assessed": acts.is_assessed(running),
        "obstacles": acts.held_up_by(running, person),
        "plan": drawn,
        "deleted": certificate.counted(drawn.deleted) if drawn else [],
        "anonymised": certificate.counted(drawn.anonymised) if drawn else [],
        "kept": certificate.kept_lines(drawn) if drawn else [],
    }


@form_page
@person_required
@never_cache
@step_up_required
@refusals_to(PAGE)
def erasure_ask(request: HttpRequest) -> HttpResponse:
    person = current_person(request)
    if request.method == "POST":
        acts.ask(person, clock.now(), session_key=request.session.session_key)
        messages.success(request, _("Received. Nobody can use the account from now on."))
        return redirect(PAGE)
    if acts.open_erasure(person) or acts.obstacles(person):
        return redirect(PAGE)
    return render(request, "gdpr/erasure_ask.html", {"hours": acts.COOL_DOWN_HOURS})


@require_POST
@while_restricted
@person_required
@refusals_to(PAGE)
def erasure_cancel(request: HttpRequest) -> HttpResponse:
    key = request.session.session_key
    acts.cancel(current_person(request), clock.now(), session_key=key)
    messages.success(request, _("Cancelled. Your account is as it was."))
    return redirect(PAGE)


@form_page
@while_restricted
@never_cache
def erasure_cancel_link(request: HttpRequest, token: str) -> HttpResponse:
    """The way back for who is not signed in, or can no longer sign in; reading changes nothing."""
    try:
        if request.method == "POST":
            acts.cancel_by_link(token, clock.now())
            messages.success(request, _("Cancelled. Choose a new password: we mail you a link."))
            return redirect("accounts:password-reset")
        acts.check_link(token)
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "gdpr/erasure_cancel_link.html")


@require_safe
@never_cache
def certificate_page(request: HttpRequest, token: str) -> HttpResponse:
    issued = certificate.found(token, clock.now())
    if issued is None:
        return dead_link(request, LinkInvalid())
    context = {"issued": issued, "token": token, "contact": settings.PRIVACY_EMAIL}
    return render(request, "gdpr/certificate.html", context)


@require_safe
@never_cache
def certificate_pdf(request: HttpRequest, token: str) -> HttpResponse:
    issued = certificate.found(token, clock.now())
    if issued is None:
        return dead_link(request, LinkInvalid())
    return _download(issued.pdf, f"brevdue-{issued.reference}.pdf")


@require_safe
@never_cache
def completion_pdf(request: HttpRequest, token: str) -> HttpResponse:
    """The second certificate, once what the first one lists as kept is gone."""
    issued = certificate.found(token, clock.now())
    if issued is None or issued.completion is None:
        return dead_link(request, LinkInvalid())
    return _download(issued.completion, f"brevdue-{issued.reference}-2.pdf")


def _download(pdf: bytes, name: str) -> HttpResponse:
    response = HttpResponse(pdf, content_type="application/pdf")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
