# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much of an organisation's mail may leave: staff's to set, everybody's to see.

What counts, and how the rest is held: metering.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.models import Organisation, User
from accounts.tenancy import TenantQuerySet
from relay.models import Hold, Quota


@dataclass(frozen=True, slots=True)
class Standing:
    """A quota in messages, None for as many as come; `held_until`: when held mail goes on."""

    an_hour: int | None
    a_day: int | None
    held_until: datetime | None


def standing(organisation_id: UUID, now: datetime) -> Standing | None:
    """Return an organisation's quota and whether it is used up; None when there is no quota."""
    rows = Quota.objects.for_organisation(organisation_id)
    quota = rows.exclude(messages_an_hour=None, messages_a_day=None).first()
    if quota is None:
        return None
    held = _held(organisation_id).filter(ends_at__gt=now).values_list("ends_at", flat=True).first()
    return Standing(quota.messages_an_hour, quota.messages_a_day, held)


def _held(organisation_id: UUID) -> TenantQuerySet[Hold]:
    rows = Hold.objects.for_organisation(organisation_id)
    return rows.filter(reason=Hold.Reason.OVER_QUOTA)


def grant(organisation: Organisation, *, an_hour: int | None, a_day: int | None, by: User) -> None:
    """Set an organisation's quota, None for none, and let go what the last one held.

    What is above the new one as well is held again by the next message that leaves, within
    seconds. A shift that finds the last one used up in this very moment may hold by it once more;
    granting it again lets go of that.
    """
    with transaction.atomic():
        Quota.objects.update_or_create(
            organisation=organisation,
            defaults={"messages_an_hour": an_hour, "messages_a_day": a_day},
        )
        _held(organisation.id).delete()
        audit.record(by, "organisation.quota-set", organisation)
