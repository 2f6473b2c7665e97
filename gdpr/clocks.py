# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a right stands on a day, for the pages of people and staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gdpr import deadlines, requests
from gdpr.deadlines import Clock
from gdpr.models import ForwardedRequest, RequestedRight


@dataclass(frozen=True, slots=True)
class Reading:
    """Both dates as they stand, and the days until the promise (below zero: it is broken)."""

    clock: Clock
    days_left: int
    stands_still: bool
    may_extend: bool

    @property
    def is_late(self) -> bool:
        return self.days_left < 0


def read(row: RequestedRight, now: datetime) -> Reading:
    """Read the clock of a right. Only an open question can move it from one day to the next."""
    is_paused = row.state == RequestedRight.State.PAUSED
    clock = requests.clock_of(row, now) if is_paused else Clock(row.promised_on, row.due_on)
    return Reading(
        clock=clock,
        days_left=_days_until(clock.promised_on, now),
        stands_still=is_paused and requests.stands_still(row, now),
        may_extend=row.extended_at is None and deadlines.may_extend(clock.due_on, now),
    )


def read_forwarded(row: ForwardedRequest, now: datetime) -> Reading:
    """Read the clock of a request that an organisation answers; nothing makes it stand still."""
    return Reading(
        clock=Clock(row.promised_on, row.due_on),
        days_left=_days_until(row.promised_on, now),
        stands_still=False,
        may_extend=row.extended_at is None and deadlines.may_extend(row.due_on, now),
    )


def _days_until(day: date, now: datetime) -> int:
    return (day - deadlines.day_of(now)).days
