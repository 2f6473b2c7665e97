# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.organisations import QUEUE_HOURS_MAX, QUEUE_HOURS_MIN
from relay.smtp.schedule import (
    LONGEST_LIFETIME,
    SHORTEST_LIFETIME,
    bounded_lifetime,
    delay_notice_at,
    next_attempt,
)

START = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIFETIME = 72 * HOUR


def middle() -> float:
    return 0.5


def tries(lifetime: timedelta, random: Callable[[], float]) -> list[timedelta]:
    """All attempts until expiry, as offsets from acceptance; each takes no time."""
    now, number, made = START, 1, [timedelta()]
    while (due := next_attempt(number, START, now, lifetime, random)) is not None:
        now, number = due, number + 1
        made.append(now - START)
    return made


@pytest.mark.behaviour(25)
def test_steps_follow_the_published_table():
    made = tries(LIFETIME, middle)
    gaps = [int((b - a).total_seconds() // 60) for a, b in zip(made, made[1:], strict=False)]
    assert gaps[:9] == [1, 5, 15, 30, 60, 120, 240, 240, 240]
    assert made[-1] == LIFETIME


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 48), (0.5, 60), (0.999999, 72)])
def test_jitter_stays_within_a_fifth(draw, seconds):
    due = next_attempt(1, START, START, LIFETIME, lambda: draw)
    assert due is not None
    assert round((due - START).total_seconds()) == seconds


@given(st.floats(0, 0.999), st.integers(0, 200))
def test_mail_is_never_kept_past_its_lifetime(draw, hours):
    lifetime = timedelta(hours=hours)
    made = tries(lifetime, lambda: draw)
    assert made[-1] <= bounded_lifetime(lifetime) <= LONGEST_LIFETIME
    gaps = [b - a for a, b in zip(made, made[1:], strict=False)]
    assert min(gaps) >= timedelta(seconds=48)
    assert len(made) < 50


def test_lifetime_is_held_between_4_and_120_hours():
    assert HOUR * QUEUE_HOURS_MIN == SHORTEST_LIFETIME
    assert HOUR * QUEUE_HOURS_MAX == LONGEST_LIFETIME
    assert bounded_lifetime(HOUR) == SHORTEST_LIFETIME == 4 * HOUR
    assert bounded_lifetime(1000 * HOUR) == LONGEST_LIFETIME == 120 * HOUR
    assert bounded_lifetime(24 * HOUR) == 24 * HOUR


def test_expiry_is_final_even_when_the_clock_jumps():
    assert next_attempt(3, START, START + 72 * HOUR, LIFETIME, middle) is None
    assert next_attempt(3, START, START + 40 * 24 * HOUR, LIFETIME, middle) is None
    back = next_attempt(1, START, START - HOUR, LIFETIME, middle)
    assert back == START - HOUR + timedelta(minutes=1)


def test_no_try_follows_another_within_the_last_minute():
    now = START + 72 * HOUR - timedelta(seconds=59)
    assert next_attempt(20, START, now, LIFETIME, middle) is None


def test_attempt_numbers_start_at_one():
    with pytest.raises(ValueError, match="number 1"):
        next_attempt(0, START, START, LIFETIME, middle)


def test_delay_notice_comes_at_four_hours_unless_the_mail_expires_first():
    assert delay_notice_at(START, LIFETIME) == START + 4 * HOUR
    assert delay_notice_at(START, 4 * HOUR) is None
