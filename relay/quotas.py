# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much of an organisation's mail may leave: staff's to set (role staff).

What counts, and how the rest is held: metering.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from accounts import audit
from accounts.models import User
from relay.models import Hold, Quota


@transaction.atomic
def grant(new: Quota, *, changed: Iterable[str], by: User) -> None:
    """Write an organisation's quota, `changed` being its new columns; let go what the last held.

    What is above the new one as well is held again by the next message that leaves, within
    seconds. A shift that finds the last one used up in this very moment may hold by it once more;
    granting it again lets go of that.
    """
    is_new = new._state.adding
    new.save()
    held = Hold.objects.for_organisation(new.organisation_id)
    held.filter(reason=Hold.Reason.OVER_QUOTA).delete()
    if is_new:
        audit.record(by, "quota.created", new, changed)
    else:
        audit.record(by, "quota.changed", new, changed)
