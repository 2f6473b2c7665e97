# SPDX-License-Identifier: AGPL-3.0-or-later
"""The clocks against a table of 400 dates and against a second way of counting, day by day.

`deadlines.csv` was made with the calendar of PostgreSQL and a written-out list of Easter Sundays,
and read through by hand; neither is what the code under test counts with.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gdpr import deadlines
from gdpr.deadlines import Clock, Pause, Stage

DAY = timedelta(days=1)
# Out of an almanac, not computed.
EASTER = (
    "2024-03-31 2025-04-20 2026-04-05 2027-03-28 2028-04-16 2029-04-01 2030-04-21 2031-04-13"
    " 2032-03-28 2033-04-17 2034-04-09 2035-03-25 2036-04-13 2037-04-05 2038-04-25 2039-04-10"
    " 2040-04-01 2041-04-21"
)
AROUND_EASTER = (-3, -2, 0, 1, 39, 49, 50)
FIXED = ((1, 1), (12, 25), (12, 26))


def _rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("deadlines.csv").open() as file:
        return list(csv.DictReader(file))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _pauses(row: dict[str, str]) -> list[Pause]:
    if not row["asked_at"]:
        return []
    return [Pause(_at(row["asked_at"]), _at(row["answered_at"]))]


def test_table_has_four_hundred_different_cases() -> None:
    cases = {(row["received_at"], row["asked_at"], row["answered_at"]) for row in _rows()}
    assert len(cases) == 400


def test_table_holds() -> None:
    for row in _rows():
        received_at, pauses = _at(row["received_at"]), _pauses(row)
        later = received_at + 365 * DAY
        usual = deadlines.clock(received_at, later, pauses)
        extended = deadlines.clock(received_at, later, pauses, extended=True)
        assert usual.promised_on.isoformat() == row["promised_on"], row
        assert usual.due_on.isoformat() == row["due_on"], row
        assert extended.due_on.isoformat() == row["extended_on"], row


def _closed_days() -> set[date]:
    easter = map(date.fromisoformat, EASTER.split())
    moving = {day + offset * DAY for day in easter for offset in AROUND_EASTER}
    return moving | {date(year, *day) for year in range(2024, 2042) for day in FIXED}


def _days() -> Iterator[date]:
    day = date(2024, 1, 1)
    while day.year <= 2040:
        yield day
        day += DAY


def _month_later(day: date) -> date:
    """Walk to the same number in the next month; stop on its last day where that is missing."""
    end = day + DAY
    while end.month == day.month:
        end += DAY
    while end.day < day.day and (end + DAY).month == end.month:
        end += DAY
    return end


def test_every_day_of_seventeen_years_by_walking() -> None:
    closed = _closed_days()
    for day in _days():
        noon = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
        end = _month_later(day)
        limit = end
        while limit.isoweekday() > 5 or limit in closed:
            limit += DAY
        assert deadlines.clock(noon, noon) == Clock(min(end, day + 30 * DAY), limit), day


def test_promise_is_never_later_than_the_limit() -> None:
    for day in _days():
        noon = datetime(day.year, day.month, day.day, 11, tzinfo=UTC)
        for extended in (False, True):
            both = deadlines.clock(noon, noon, extended=extended)
            assert both.promised_on <= both.due_on


def test_bare_thirty_days_would_break_both_limits() -> None:
    """What the promise is for, counted with the almanac above and not by the code under test."""
    closed, late, long = _closed_days(), 0, 0
    for day in _days():
        end, bare = _month_later(day), day + 30 * DAY
        limit = end
        while limit.isoweekday() > 5 or limit in closed:
            limit += DAY
        late += bare > limit
        long += bare > end
    assert (late, long) == (402, 510)


NOON = datetime(2026, 9, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pauses", "days"),
    [
        ([], 0),
        ([Pause(NOON + DAY, NOON + 4 * DAY)], 3),
        ([Pause(NOON + DAY)], 9),
        # Asked late, so that the clock goes on.
        ([Pause(NOON + 5 * DAY, NOON + 7 * DAY)], 2),
        ([Pause(NOON + 6 * DAY, NOON + 9 * DAY)], 0),
        # A second question follows from the first answer; what overlaps counts once.
        ([Pause(NOON + DAY, NOON + 4 * DAY), Pause(NOON + 6 * DAY, NOON + 8 * DAY)], 5),
        ([Pause(NOON + DAY, NOON + 6 * DAY), Pause(NOON + 3 * DAY, NOON + 8 * DAY)], 7),
        ([Pause(NOON + DAY, NOON + 8 * DAY), Pause(NOON + 3 * DAY, NOON + 5 * DAY)], 7),
        # Asked and answered on one day.
        ([Pause(NOON, NOON + timedelta(hours=8))], 0),
    ],
)
def test_pauses_count_whole_days_once(pauses: list[Pause], days: int) -> None:
    assert deadlines.paused_days(NOON, pauses, NOON + 10 * DAY) == days
    assert deadlines.paused_days(NOON, pauses[::-1], NOON + 10 * DAY) == days


@pytest.mark.parametrize(
    ("pauses", "still"),
    [
        ([], False),
        ([Pause(NOON + 5 * DAY)], True),
        ([Pause(NOON + 6 * DAY)], False),
        ([Pause(NOON + DAY, NOON + 4 * DAY)], False),
        ([Pause(NOON + DAY, NOON + 4 * DAY), Pause(NOON + 9 * DAY)], True),
        ([Pause(NOON + 6 * DAY, NOON + 7 * DAY), Pause(NOON + 8 * DAY)], False),
    ],
)
def test_clock_stands_still_for_a_question_in_time(pauses: list[Pause], still: bool) -> None:
    assert deadlines.stands_still(NOON, pauses, NOON + 10 * DAY) is still


def test_extension_is_possible_on_the_last_day_and_not_after_it() -> None:
    due_on = deadlines.clock(NOON, NOON).due_on
    assert due_on == date(2026, 10, 1)
    assert deadlines.may_extend(due_on, datetime(2026, 10, 1, 21, 59, 59, tzinfo=UTC))
    assert not deadlines.may_extend(due_on, datetime(2026, 10, 1, 22, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("days", "stage"),
    [
        (0, None),
        (14, None),
        (15, Stage.HALF),
        (23, Stage.HALF),
        (24, Stage.MOST),
        (26, Stage.MOST),
        (27, Stage.LAST_DAYS),
        (30, Stage.LAST_DAYS),
        (31, Stage.OVERDUE),
    ],
)
def test_stages_of_a_clock(days: int, stage: Stage | None) -> None:
    promised_on = deadlines.clock(NOON, NOON).promised_on
    assert deadlines.stage(NOON, promised_on, NOON + days * DAY) == stage
