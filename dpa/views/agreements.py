# SPDX-License-Identifier: AGPL-3.0-or-later
"""Agreements: how they stand, reading them, and downloading them, whatever the standing."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import current_membership, get_for_organisation
from accounts.models import Membership
from accounts.views.answers import refusals_to
from dpa import composition, integrity, offering, sealing, signatories
from dpa.models import Agreement
from dpa.views.guards import readers
from dpa.words import PARTS


@require_safe
@readers
def agreements(request: HttpRequest) -> HttpResponse:
    """Show what is in force, what awaits a signature, what has changed, and every version."""
    by = current_membership(request)
    rows = Agreement.objects.for_organisation(by.organisation_id).order_by("-number")
    in_force, waiting = (
        offering.in_force(by.organisation_id),
        offering.open_version(by.organisation_id),
    )
    ending = by.organisation.standing in by.organisation.ENDING
    context = {
        "rows": rows,
        "in_force": in_force,
        "waiting": waiting,
        "held": waiting is not None and sealing.awaits_release(waiting),
        "by_staff": sealing.is_held(),
        "outdated": not ending and waiting is not None and _outdated(by, waiting),
        "changed": _changed(by, in_force),
        "may_sign": signatories.may_sign(by),
        "missing": offering.missing(by.organisation),
        "ending": ending,
    }
    return render(request, "dpa/agreements.html", context)


def _changed(by: Membership, in_force: Agreement | None) -> list[str]:
    """Return the names of the parts that the service does not do any more as was agreed."""
    if in_force is None:
        return []
    names = offering.changes(in_force, by.organisation, clock.now())
    return [str(PARTS[name]) for name in names]


def _outdated(by: Membership, waiting: Agreement) -> bool:
    """Return whether a version that waits for this person would say something else now."""
    mine = waiting.state == Agreement.State.OFFERED and waiting.signatory_id == by.user_id
    return mine and offering.reusable(by, offering.draft(by, clock.now())) is None


@require_safe
@readers
@refusals_to("dpa:agreements")
def draft(request: HttpRequest) -> HttpResponse:
    """Show the agreement as it would be issued now."""
    by = current_membership(request)
    made = offering.draft(by, clock.now())
    context = {
        "reading": composition.read(made.facts),
        "may_sign": signatories.may_sign(by),
        "missing": offering.missing(by.organisation),
        "changed": _changed(by, offering.in_force(by.organisation_id)),
    }
    return render(request, "dpa/draft.html", context)


@require_safe
@readers
def agreement(request: HttpRequest, agreement_id: UUID) -> HttpResponse:
    """Show a version word for word, with what happened to it."""
    row = get_for_organisation(request, Agreement, agreement_id)
    context = {
        "agreement": row,
        "reading": composition.read(row.facts),
        "events": row.events.order_by("sequence"),
        "faults": list(integrity.faults(row)),
        "document": row.latest_document(),
    }
    return render(request, "dpa/agreement.html", context)


@require_safe
@never_cache
@readers
def document(request: HttpRequest, agreement_id: UUID) -> HttpResponse:
    """Give out the bytes on file: the last that were signed, or as offered."""
    row = get_for_organisation(request, Agreement, agreement_id)
    name = f"databehandleraftale-{row.number}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(
        bytes(row.latest_document().content), content_type="application/pdf", headers=headers
    )
