# SPDX-License-Identifier: AGPL-3.0-or-later
"""The clocks of a request: arithmetic on days in Copenhagen, without a clock and without rows.

Two dates stand beside each other: the promise, which is never later than the law's limit and never
leans on a holiday, and the limit itself (GDPR article 12(3), counted by Regulation 1182/71).
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import holidays

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
PROMISED_DAYS = 30
LIMIT_MONTHS = 1
EXTENDED_MONTHS = 3
# What is asked of the person stops the clock only when it is asked without undue delay (EDPB
# Guidelines 01/2022, section 5.3): within this many days of the request or of the last answer.
ASKED_WITHOUT_DELAY_DAYS = 5
WARNED_DAYS_BEFORE = 3

SATURDAY = 5
_DANISH_HOLIDAYS = holidays.country_holidays("DK")  # without Store Bededag from 2024 on


@dataclass(frozen=True, slots=True)
class Pause:
    """A question to the person; `answered_at` is None while it is open."""

    asked_at: datetime
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Both dates of a request; each ends with its day in Copenhagen."""

    promised_on: date
    due_on: date


class Stage(StrEnum):
    """How far a clock has run when somebody is to be told."""

    HALF = "half"
    MOST = "most"
    LAST_DAYS = "last-days"
    OVERDUE = "overdue"


def clock(
    received_at: datetime, now: datetime, pauses: Sequence[Pause] = (), *, extended: bool = False
) -> Clock:
    """Return promise and limit. An open pause moves them on with every day until `now`."""
    received_on = day_of(received_at)
    paused = timedelta(days=paused_days(received_at, pauses, now))
    if extended:
        # Article 12(3): two further months, from the receipt and not from the notice.
        end = add_months(received_on, EXTENDED_MONTHS) + paused
        return Clock(promised_on=end, due_on=next_working_day(end))
    end = add_months(received_on, LIMIT_MONTHS) + paused
    promised = received_on + timedelta(days=PROMISED_DAYS) + paused
    return Clock(promised_on=min(promised, end), due_on=next_working_day(end))


def may_extend(due_on: date, now: datetime) -> bool:
    """Say whether an extension can still be told of: until the day of the limit has ended."""
    return day_of(now) <= due_on


def paused_days(received_at: datetime, pauses: Iterable[Pause], now: datetime) -> int:
    """Return the whole days for which the person owed an answer; no day counts twice."""
    return sum(days for _, days in _counted(received_at, pauses, now))


def stands_still(received_at: datetime, pauses: Iterable[Pause], now: datetime) -> bool:
    """Say whether a question is open that stops the clock; one asked too late does not."""
    return any(pause.answered_at is None for pause, _ in _counted(received_at, pauses, now))


def _counted(
    received_at: datetime, pauses: Iterable[Pause], now: datetime
) -> Iterator[tuple[Pause, int]]:
    """Yield the questions that were asked without undue delay, and the days that each adds."""
    latest = day_of(received_at)
    for pause in sorted(pauses, key=lambda pause: pause.asked_at):
        asked, answered = day_of(pause.asked_at), day_of(pause.answered_at or now)
        if (asked - latest).days <= ASKED_WITHOUT_DELAY_DAYS:
            yield pause, max((answered - max(asked, latest)).days, 0)
            latest = max(answered, latest)


def stage(received_at: datetime, promised_on: date, now: datetime) -> Stage | None:
    """Return the last stage that the clock of the promise has passed, None before the first."""
    start, end = day_of(received_at), promised_on
    today = day_of(now)
    if today > end:
        return Stage.OVERDUE
    if (end - today).days <= WARNED_DAYS_BEFORE:
        return Stage.LAST_DAYS
    passed = (today - start) / (end - start)
    if passed >= 0.8:
        return Stage.MOST
    return Stage.HALF if passed >= 0.5 else None


def day_of(instant: datetime) -> date:
    """Return the day in Copenhagen on which an instant falls."""
    return instant.astimezone(COPENHAGEN).date()


def add_months(day: date, months: int) -> date:
    """Return the same day of a later month, or its last day (Regulation 1182/71, art. 3(2)(c))."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return day.replace(year=year, month=month, day=min(day.day, monthrange(year, month)[1]))


def next_working_day(day: date) -> date:
    """Return the day, or the first after it that is no weekend or holiday (art. 3(4))."""
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


def is_working_day(day: date) -> bool:
    return day.weekday() < SATURDAY and day not in _DANISH_HOLIDAYS
