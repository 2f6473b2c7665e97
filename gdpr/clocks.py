# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a right stands on a day, for the pages of people and staff."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime

from gdpr import deadlines, requests
from gdpr.deadlines import Clock, Stage
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


@dataclass(frozen=True, slots=True)
class Line:
    """The open rights of one kind that came by one channel, and how many of them stand where."""

    right: str
    channel: str
    open: int
    unproven: int
    still: int
    half: int
    most: int
    last_days: int
    late: int
    next_on: date


def board(now: datetime) -> list[Line]:
    """Return all clocks that are not at their end, as numbers; the one that is due next first."""
    rows = RequestedRight.objects.filter(closed_at=None).select_related("request")
    together: dict[tuple[str, str], list[RequestedRight]] = defaultdict(list)
    for row in rows:
        together[row.get_right_display(), row.request.get_channel_display()].append(row)
    lines = [_line(*kind, found, now) for kind, found in together.items()]
    return sorted(lines, key=lambda line: line.next_on)


def _line(right: str, channel: str, rows: list[RequestedRight], now: datetime) -> Line:
    readings = [read(row, now) for row in rows]
    running = [
        deadlines.stage(row.request.received_at, reading.clock.promised_on, now)
        for row, reading in zip(rows, readings, strict=True)
        if not reading.stands_still
    ]
    return Line(
        right=right,
        channel=channel,
        open=len(rows),
        unproven=sum(row.request.proven_at is None for row in rows),
        still=sum(reading.stands_still for reading in readings),
        half=running.count(Stage.HALF),
        most=running.count(Stage.MOST),
        last_days=running.count(Stage.LAST_DAYS),
        late=running.count(Stage.OVERDUE),
        next_on=min(reading.clock.promised_on for reading in readings),
    )


def _days_until(day: date, now: datetime) -> int:
    return (day - deadlines.day_of(now)).days
