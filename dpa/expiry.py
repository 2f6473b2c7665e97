# SPDX-License-Identifier: AGPL-3.0-or-later
"""When agreements end and are forgotten: soon where not both signed, else when no claim is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import Organisation
from accounts.tenancy import TenantModel
from dpa import offering
from dpa.models import Agreement, AgreementEvent
from dpa.terms import KEPT_DAYS, UNSIGNED_KEPT_DAYS
from gdpr import inventory, subjects
from gdpr.registry import Role

_NOW = timedelta()

State = Agreement.State


def forget(now: datetime, ahead: timedelta = _NOW) -> int:
    """Delete what is past its period, or will be within `ahead`; return how many. Role `duty`.

    First end the agreements of organisations that are closed and empty, so that their period runs.
    """
    _end_all(now)
    _, counts = _due(now + ahead).delete()
    return counts.get(Agreement._meta.label, 0)


def count_due(now: datetime, ahead: timedelta = _NOW) -> int:
    return _due(now + ahead).count()


def _due(at: datetime) -> QuerySet[Agreement]:
    short, long = at - timedelta(UNSIGNED_KEPT_DAYS), at - timedelta(KEPT_DAYS)
    offered = Q(state=State.OFFERED, offered_at__lte=short)
    withdrawn = Q(state=State.WITHDRAWN, closed_at__lte=short)
    return Agreement.objects.filter(offered | withdrawn | Q(closed_at__lte=long))


def _end_all(now: datetime) -> None:
    leaving = Agreement.objects.filter(
        state=State.IN_FORCE, organisation__standing__in=Organisation.ENDING
    )
    for pk in leaving.values_list("pk", flat=True):
        with transaction.atomic():
            row = offering.locked(pk)
            if row is not None and row.state == State.IN_FORCE and _is_over(row.organisation):
                offering.close(row, State.ENDED, AgreementEvent.Act.ENDED, now)


def _is_over(organisation: Organisation) -> bool:
    """Return whether the customer has left and nothing is processed for them any more.

    An agreement lasts as long as its processor holds anything (GDPR article 28(3)(g)).
    """
    return organisation.standing in Organisation.ENDING and not any(
        model.objects.for_organisation(organisation.pk).exists() for model in _processed()
    )


def _processed() -> Iterator[type[TenantModel]]:
    """Yield the tables that hold what is processed for customers."""
    for entry in inventory.personal_entries():
        model = subjects.model_of(entry)
        if entry.role is Role.PROCESSOR and issubclass(model, TenantModel):
            yield model
