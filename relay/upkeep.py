# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hourly upkeep of log and content (role duty): days made ahead, days dropped, leftovers reaped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.utils import DatabaseError, OperationalError

from accounts import alerts
from relay import shorterperiods
from relay.models import (
    Attempt,
    Content,
    Delivery,
    Ending,
    Message,
    MessageHeader,
    QueuedDelivery,
    Report,
    messages,
)
from relay.partitions import DAY_MISSING, create_days, drop_day, existing_days

logger = logging.getLogger(__name__)

# A day goes in the hour before its oldest row reaches the period.
AHEAD = timedelta(hours=1)
OVERDUE = timedelta(hours=24)
TRIES = 3

STILL_THERE = "log-day-overdue"
LEFT_OVER = "content-left-over"


def forget_days(now: datetime, ahead: timedelta = AHEAD) -> int:
    """Do as `keep_days`, after what reaches a shorter period; return how many rows went."""
    gone = shorterperiods.forget(now, ahead)
    counts = {day: _rows_of(day) for day in _due_days(now, ahead)}
    return gone + sum(counts[day] for day in keep_days(now, ahead))


def count_due(now: datetime, ahead: timedelta = AHEAD) -> int:
    """Return how many rows of the log `forget_days` would drop, unfinished mail aside.

    Of what reaches a shorter period, how many messages.
    """
    due = sum(_rows_of(day) for day in _due_days(now, ahead))
    return due + shorterperiods.count_due(now, ahead)


def keep_days(now: datetime, ahead: timedelta = AHEAD) -> list[date]:
    """Make the days ahead and drop those that are due; returns the days dropped.

    A day with mail that is not final stays for the next hour.
    """
    _try_often(lambda: create_days(now.date()))
    dropped = [day for day in _due_days(now, ahead) if _dropped(day)]
    days = existing_days()
    _alert(DAY_MISSING, wrong=now.date() + timedelta(days=1) not in days)
    overdue = any(now >= _end(day) + OVERDUE for day in days)
    _alert(STILL_THERE, wrong=overdue or shorterperiods.is_overdue(now, OVERDUE))
    return dropped


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end(day: date) -> datetime:
    """When the oldest row of a day reaches the period."""
    return _start(day) + timedelta(days=messages.LOG_DAYS)


def _is_due(day: date, now: datetime, ahead: timedelta = AHEAD) -> bool:
    return now >= _end(day) - ahead


def _due_days(now: datetime, ahead: timedelta) -> list[date]:
    return [day for day in existing_days() if _is_due(day, now, ahead)]


def _rows_of(day: date) -> int:
    span = (_start(day), _start(day + timedelta(days=1)))
    return sum(
        model._default_manager.filter(accepted_at__gte=span[0], accepted_at__lt=span[1]).count()
        for model in (Message, Delivery, Attempt, Report, Ending, MessageHeader)
    )


def _dropped(day: date) -> bool:
    return _try_often(lambda: drop_day(day))


def _try_often(act: Callable[[], None]) -> bool:
    """Whether it worked at last: the functions wait a second for their lock, a long reader more."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                act()
        except OperationalError as fault:
            logger.warning("upkeep: %s, trying again", type(fault).__name__)
        except DatabaseError as fault:
            # The function refused: the day is inside the period or has mail that is not final.
            logger.info("upkeep: %s", type(fault).__name__)
            return False
        else:
            return True
    return False


def _alert(kind: str, *, wrong: bool) -> None:
    if wrong:
        alerts.raise_alert(kind)
    else:
        alerts.resolve_alert(kind)


def reap_content(now: datetime) -> int:
    """Delete content that nothing waits for any more; returns how many, which should be none."""
    oldest = oldest_content_of_final_message()
    # Told before anything is deleted, so that it stands also when that fails.
    _alert(LEFT_OVER, wrong=oldest is not None)
    if oldest is None:
        return 0
    logger.error("upkeep: content outlived its message, accepted %s ago", now - oldest)
    left = list(_content_of_final_messages().values_list("message_id", "accepted_at"))
    for message_id, accepted_at in left:
        Content.objects.filter(message_id=message_id).delete()
        Message.objects.filter(
            accepted_at=accepted_at, id=message_id, content_destroyed_at=None
        ).update(content_destroyed_at=now)
    return len(left)


def oldest_content_of_final_message() -> datetime | None:
    """Return when the oldest message was accepted whose content outlived it: None, always."""
    return (
        _content_of_final_messages()
        .order_by("accepted_at")
        .values_list("accepted_at", flat=True)
        .first()
    )


def _content_of_final_messages() -> QuerySet[Content]:
    waiting = QueuedDelivery.objects.filter(message_id=OuterRef("message_id"))
    return Content.objects.filter(~Exists(waiting))
