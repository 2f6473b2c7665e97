# SPDX-License-Identifier: AGPL-3.0-or-later
"""When a delivery is tried again and when it is given up. Pure: clock and random are passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

# RFC 5321 §4.5.4.1 suggests at least 30 minutes between tries and 4–5 days in all. The first tries
# come sooner, because greylisting ends within minutes; 72 h is the documented choice.
STEPS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
JITTER = 0.2

SHORTEST_LIFETIME = timedelta(hours=4)
LONGEST_LIFETIME = timedelta(hours=120)

DELAY_NOTICE_AFTER = timedelta(hours=4)

# A last try is made when the lifetime ends, unless one was made just before.
_LAST_GAP = timedelta(minutes=1)


def bounded_lifetime(lifetime: timedelta) -> timedelta:
    """Return the lifetime moved into what an organisation may choose, 4 to 120 hours."""
    return min(max(lifetime, SHORTEST_LIFETIME), LONGEST_LIFETIME)


def next_attempt(
    attempt_number: int,
    accepted_at: datetime,
    now: datetime,
    lifetime: timedelta,
    random: Callable[[], float],
) -> datetime | None:
    """Return when to try again after attempt ``attempt_number`` (1 is the first), None if never.

    ``random`` gives floats in [0, 1). The last try falls on the end of the lifetime, so that none
    of it is lost to a long step. Raises ValueError for an attempt number below 1.
    """
    if attempt_number < 1:
        raise ValueError("the first attempt is number 1")
    expires_at = accepted_at + bounded_lifetime(lifetime)
    if now + _LAST_GAP > expires_at:
        return None
    step = STEPS[min(attempt_number, len(STEPS)) - 1]
    return min(now + step * (1 + JITTER * (2 * random() - 1)), expires_at)


def delay_notice_at(accepted_at: datetime, lifetime: timedelta) -> datetime | None:
    """Return when the sender is told of the delay, None when the mail is given up by then."""
    if bounded_lifetime(lifetime) <= DELAY_NOTICE_AFTER:
        return None
    return accepted_at + DELAY_NOTICE_AFTER
