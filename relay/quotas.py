# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much of an organisation's mail may leave: staff's to set (role staff).

What counts, and how the rest is held: metering.py.
"""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.models import Organisation, User
from relay.models import Hold, Quota

FIELDS = ("messages_an_hour", "messages_a_day")


@transaction.atomic
def grant(organisation: Organisation, *, an_hour: int | None, a_day: int | None, by: User) -> Quota:
    """Set an organisation's quota, None for none, and let go what the last one held.

    What is above the new one as well is held again by the next message that leaves, within
    seconds. A shift that finds the last one used up in this very moment may hold by it once more;
    granting it again lets go of that.
    """
    quota, is_new = Quota.objects.update_or_create(
        organisation=organisation,
        defaults={"messages_an_hour": an_hour, "messages_a_day": a_day},
    )
    held = Hold.objects.for_organisation(organisation.id)
    held.filter(reason=Hold.Reason.OVER_QUOTA).delete()
    if is_new:
        audit.record(by, "quota.created", quota, FIELDS)
    else:
        audit.record(by, "quota.changed", quota, FIELDS)
    return quota
