# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lets mail go that this service set aside, once staff know why it failed. Role staff."""

from __future__ import annotations

from django.db import connection, models, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.models import User
from accounts.refusals import Refused
from relay.models import QueuedDelivery

# Staff may read the queue, and write nothing in it but what this function does.
RELEASE = "SELECT relay_release_quarantined(%s, %s)"


class Because(models.TextChoices):
    """Why it is released; the audit trail has the value, because it takes no free text."""

    MENDED = "mended", _("the fault that it failed at is mended")
    PASSING = "passing", _("what it failed at was a passing trouble of ours")
    ASKED = "asked", _("the organisation asked for another try")


class NothingToRelease(Refused):
    text: Promise = _("None of it is set aside any more: it ended, or somebody released it.")


@transaction.atomic
def release(row: QueuedDelivery, because: Because, *, by: User) -> int:
    """Try a message again that was set aside; returns how many deliveries.

    Raises NothingToRelease.
    """
    with connection.cursor() as cursor:
        cursor.execute(RELEASE, [row.message_id, clock.now()])
        (count,) = cursor.fetchone()
    if not count:
        raise NothingToRelease
    audit.record(by, "queueddelivery.released", row, [f"because-{because.value}"])
    return int(count)
