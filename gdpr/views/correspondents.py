# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation has of one address, and what it can do about it. Open in every standing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST, require_safe
from kombu.exceptions import OperationalError

from accounts import audit, clock, vault
from accounts.access import (
    current_membership,
    current_organisation,
    current_person,
    get_for_organisation,
    is_fragment,
    member_required,
)
from accounts.models import Role
from accounts.models.organisations import KEEPERS
from accounts.refusals import Refused
from accounts.views.answers import form_page, refusal, refusals_to, step_up_required
from gdpr import tasks
from gdpr.correspondents import certificate, finding, packages, run, steps
from gdpr.correspondents.forms import AddressErasureForm, NoMailForm, NotUsedForm
from gdpr.models import AddressErasure, AddressPackage
from gdpr.models.packages import PACKAGE_DAYS
from relay import restricting, suppressions
from relay.forms.suppressions import AddressForm
from relay.views import onward

ROLES = KEEPERS | {Role.PRIVACY}
PURPOSE = "correspondent"
PAGE = "gdpr:correspondents"
LIST, FOUND = "gdpr/correspondents.html", "gdpr/correspondent.html"
EXPORT, ERASE = "gdpr/correspondent_export.html", "gdpr/correspondent_erase.html"
NO_MAIL, NOT_USED = "gdpr/correspondent_suppress.html", "gdpr/correspondent_restrict.html"
SHOWN = 20


def sealed(organisation_id: UUID, address: str) -> str:
    """Return an address as the address of a page has it: proxies write those to their logs."""
    return vault.seal_text(PURPOSE, address, organisation_id=organisation_id)


def _opened(request: HttpRequest, text: str) -> str:
    owner = current_organisation(request).id
    try:
        return vault.unseal_text(PURPOSE, text, organisation_id=owner)
    except vault.VaultError:
        raise Http404 from None


@form_page
@member_required(*ROLES)
@never_cache
def correspondents(request: HttpRequest) -> HttpResponse:
    """A search is posted, so that no address stands in an address line; then it is read sealed."""
    form = AddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        owner = current_organisation(request).id
        return redirect("gdpr:correspondent", sealed(owner, form.cleaned_data["address"]))
    part = "gdpr/_correspondent_acts.html" if is_fragment(request) else LIST
    return render(request, part, {"form": form, **_acts(request)})


def _acts(request: HttpRequest) -> dict[str, Any]:
    """Return the newest packages and erasures; no page says whom they are about."""
    owner, now = current_organisation(request).id, clock.now()
    made = AddressPackage.objects.for_organisation(owner).order_by("-created_at")[:SHOWN]
    asked = AddressErasure.objects.for_organisation(owner).order_by("-asked_at")[:SHOWN]
    erasures = list(asked.defer("certificate", "report"))
    rows = [(row, packages.may_be_fetched(row, now)) for row in made]
    return {
        "packages": rows,
        "erasures": erasures,
        "busy": any(row.state == AddressPackage.State.WAITING for row, _can in rows)
        or any(row.ended_at is None for row in erasures),
    }


@require_safe
@member_required(*ROLES)
@never_cache
def correspondent(request: HttpRequest, sealed: str) -> HttpResponse:
    address = _opened(request, sealed)
    found = finding.find(current_organisation(request).id, address, clock.now())
    context = {
        "address": address,
        "sealed": sealed,
        "found": found,
        "opens_log": current_membership(request).role != Role.PRIVACY,
    }
    return render(request, FOUND, context)


@form_page
@member_required(*ROLES)
@never_cache
@step_up_required
@refusals_to(PAGE)
def correspondent_export(request: HttpRequest, sealed: str) -> HttpResponse:
    address = _opened(request, sealed)
    if request.method != "POST":
        context = {"address": address, "sealed": sealed, "days": PACKAGE_DAYS}
        return render(request, EXPORT, context)
    packages.order(address, by=current_membership(request), now=clock.now())
    _wake(tasks.pack)
    messages.success(request, _("Ordered. It can be fetched here when it is ready."))
    return redirect(PAGE)


@form_page
@member_required(*ROLES)
@never_cache
@step_up_required
def correspondent_erase(request: HttpRequest, sealed: str) -> HttpResponse:
    address, by, now = _opened(request, sealed), current_membership(request), clock.now()
    found = finding.find(by.organisation_id, address, now)
    context = {
        "address": address,
        "sealed": sealed,
        "found": found,
        "backup_days": settings.BACKUP_DAYS,
    }
    form = AddressErasureForm(
        request.POST if request.method == "POST" else None, waits=found.waiting
    )
    if not form.is_valid():
        return render(request, ERASE, {"form": form, **context})
    try:
        erasure = run.ask(address, form.chosen(), by=by, now=now)
    except Refused as refused:
        return refusal(request, ERASE, form, refused, **context)
    _wake(tasks.erase_address, erasure_id=str(erasure.pk))
    messages.success(request, _("Begun. The certificate is here when it is done."))
    return redirect("gdpr:correspondent-erasure", erasure.pk)


@form_page
@member_required(*ROLES)
@never_cache
def correspondent_suppress(request: HttpRequest, sealed: str) -> HttpResponse:
    address = _opened(request, sealed)
    context = {"address": address, "sealed": sealed}
    form = NoMailForm(request.POST or None)
    if not form.is_valid():
        return render(request, NO_MAIL, {"form": form, **context})
    try:
        row = suppressions.add(address, "", form.chosen(), by=current_membership(request))
    except Refused as refused:
        return refusal(request, NO_MAIL, form, refused, **context)
    onward.cancel_suppressed(row.id)
    messages.success(request, _("On the list within seconds. What waits for it is cancelled."))
    return redirect("gdpr:correspondent", sealed)


@form_page
@member_required(*ROLES)
@never_cache
def correspondent_restrict(request: HttpRequest, sealed: str) -> HttpResponse:
    address = _opened(request, sealed)
    context = {"address": address, "sealed": sealed}
    form = NotUsedForm(request.POST or None)
    if not form.is_valid():
        return render(request, NOT_USED, {"form": form, **context})
    try:
        ground = restricting.Ground(form.cleaned_data["ground"])
        restricting.restrict(address, ground, by=current_membership(request))
    except Refused as refused:
        return refusal(request, NOT_USED, form, refused, **context)
    messages.success(request, _("Restricted within seconds. What waits for it is held."))
    return redirect("gdpr:correspondent", sealed)


@require_GET
@member_required(*ROLES)
@never_cache
@step_up_required
@refusals_to(PAGE)
def package(request: HttpRequest, package_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, AddressPackage, package_id)
    content = packages.read(row, clock.now())
    audit.record(current_person(request), "addresspackage.downloaded", row)
    response = StreamingHttpResponse(content, content_type="application/zip")
    response.headers["Content-Length"] = str(row.size)
    name = f"brevdue-address-{row.reference}.zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    # The guards' types know whole answers alone.
    return cast(HttpResponse, response)


@require_POST
@member_required(*ROLES)
def package_end(request: HttpRequest, package_id: UUID) -> HttpResponse:
    packages.end_now(get_for_organisation(request, AddressPackage, package_id), clock.now())
    messages.success(
        request, _("It can no longer be fetched; its file is destroyed within minutes.")
    )
    return redirect(PAGE)


@require_safe
@member_required(*ROLES)
@never_cache
def erasure(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, AddressErasure, erasure_id)
    context = certificate.told(row) | {
        "done": steps.ORDER.index(row.step),
        "all": len(steps.ORDER),
        "busy": row.ended_at is None,
    }
    part = "gdpr/_address_erasure.html" if is_fragment(request) else "gdpr/address_erasure.html"
    return render(request, part, context)


@require_safe
@member_required(*ROLES)
@never_cache
def certificate_pdf(request: HttpRequest, erasure_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, AddressErasure, erasure_id)
    if row.certificate is None:
        raise Http404
    response = HttpResponse(bytes(row.certificate), content_type="application/pdf")
    name = f"brevdue-{row.reference}.pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _wake(task: Any, **ids: str) -> None:
    """Start a task once the order is there for it to see; beat starts it as well, each minute."""

    def start() -> None:
        with suppress(OperationalError):
            task.apply_async(kwargs=ids, expires=60, retry=False)

    transaction.on_commit(start)
