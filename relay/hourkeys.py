# SPDX-License-Identifier: AGPL-3.0-or-later
"""The end of hour keys: closed in the database first, then destroyed on the disk.

Closed means that nothing may be sealed under the key any more, so what is closed may go at any
later time: a crash between any two steps leaves something that the next run finishes. The row of a
closed key stays for KEPT.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import transaction

from accounts import alerts
from accounts.models import organisations
from accounts.vault import HourKeys
from relay.models import Content, HourKey
from relay.models.messages import LOG_DAYS
from relay.queue import keyring_directory

logger = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
# How often beat lets keys be closed (config/celery.py), and how long a run may wait for a worker.
CLOSED_EVERY = timedelta(minutes=5)
# A key is on the disk before its row is in the database: so long may a process take between them.
ORPHAN_AFTER = timedelta(hours=2)
# "Closed" keeps a process that stood still for long from sealing under a key that is destroyed, and
# tells when the content of the mail in the log became unreadable: the row outlives both. Content
# itself is gone before its key is closed.
KEPT = timedelta(days=LOG_DAYS)
FORGET_MOST = 1000
# Kind of the alert while keys cannot be removed from the disk; it stands for the whole keyring.
LEFT = "hour-keys-left"


def open_keyring() -> HourKeys:
    return HourKeys(keyring_directory())


def close_due(keys: HourKeys, now: datetime) -> list[str]:
    """Close every key whose hour is over and that seals nothing; returns the ids destroyed."""
    for identifier in HourKey.objects.filter(closed_at=None).values_list("id", flat=True):
        if is_over(identifier, now):
            _close(identifier, now)
    return _destroy_closed(keys, now)


def longest_hours() -> int:
    """Return the hours, rounded up, within which a key goes after a mail under it was accepted.

    The key is shared with mail of the same hour, which may wait for QUEUE_HOURS_MAX; then a run
    comes, and may itself have waited.
    """
    longest = timedelta(hours=organisations.QUEUE_HOURS_MAX) + HOUR + 2 * CLOSED_EVERY
    return -(-longest // HOUR)


def count_overdue(now: datetime) -> int:
    """Return how many keys are still open past `longest_hours`."""
    opened = HourKey.objects.filter(closed_at=None).values_list("id", flat=True)
    late = now - timedelta(hours=longest_hours() - 1)
    return sum(1 for identifier in opened if is_over(identifier, late))


def _close(identifier: str, now: datetime) -> None:
    with transaction.atomic():
        # A store that seals under the key holds the row shared until its commit; the look at the
        # content comes after, and so sees what that store committed.
        row = HourKey.objects.select_for_update().get(pk=identifier)
        if row.closed_at is None and not _seals_anything(identifier):
            row.closed_at = now
            row.save(update_fields=["closed_at"])


def _seals_anything(identifier: str) -> bool:
    return Content.objects.filter(hour_key_id=identifier).exists()


def _destroy_closed(keys: HourKeys, now: datetime) -> list[str]:
    due = [identifier for identifier in keys.ids() if _may_go(identifier, now)]
    destroyed = [identifier for identifier in due if _destroy(keys, identifier)]
    if destroyed:
        logger.info("hour keys destroyed: %d", len(destroyed))
    # The row says closed already, so nothing but this tells of a key that stays on the disk.
    if destroyed == due:
        alerts.resolve_alert(LEFT)
    else:
        alerts.raise_alert(LEFT)
    return destroyed


def _destroy(keys: HourKeys, identifier: str) -> bool:
    try:
        keys.destroy(identifier)
    except OSError as fault:
        logger.error("hour key %s is not destroyed (%s)", identifier, type(fault).__name__)
        return False
    return True


def _may_go(identifier: str, now: datetime) -> bool:
    row = HourKey.objects.filter(pk=identifier).first()
    if row is None:
        return is_over(identifier, now - ORPHAN_AFTER)
    return row.closed_at is not None


def forget_closed(now: datetime) -> int:
    """Forget the rows of closed keys after KEPT (role duty); returns how many, bounded.

    A key that is on the disk without a row goes by `close_due` like any orphan.
    """
    due = HourKey.objects.filter(closed_at__lte=now - KEPT).order_by("closed_at")
    count, _ = HourKey.objects.filter(
        pk__in=list(due.values_list("pk", flat=True)[:FORGET_MOST])
    ).delete()
    return count


def is_over(identifier: str, now: datetime) -> bool:
    """Whether the hour that a key's id names has ended; never for an id that names none."""
    try:
        began = datetime.strptime(identifier.partition("-")[0], "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return False
    return now >= began + HOUR
