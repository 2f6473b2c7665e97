# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which course each right takes once it is proven who asks: the one table of it."""

from __future__ import annotations

from enum import Enum

from gdpr.models import Request, Right


class Course(Enum):
    """Who answers. What the worker does is asked for once at a time, and staff can take it over:
    back to being assessed, no further.
    """

    ASSESSED = "people assess it and carry it out"
    AT_ONCE = "the service carries it out and answers in the act of asking"
    PACKED = "the worker puts a package together at once"
    POSTPONED = "the worker carries it out after a time to think, and until then it is cancelled"


COURSES: dict[Right, Course] = {
    Right.ACCESS: Course.PACKED,
    Right.RECTIFICATION: Course.ASSESSED,
    Right.ERASURE: Course.POSTPONED,
    Right.RESTRICTION: Course.AT_ONCE,
    Right.PORTABILITY: Course.PACKED,
    Right.OBJECTION: Course.ASSESSED,
    Right.CONSENT: Course.AT_ONCE,
    Right.REVIEW: Course.ASSESSED,
}


def of(*courses: Course) -> frozenset[Right]:
    """Return the rights that take one of these courses."""
    return frozenset(right for right, course in COURSES.items() if course in courses)


AUTOMATIC = of(Course.AT_ONCE, Course.PACKED, Course.POSTPONED)
PACKED = of(Course.PACKED)
# What is under way after its time to think is cancelled, with all that hangs on it.
WITHDRAWABLE = of(Course.ASSESSED, Course.AT_ONCE, Course.PACKED)
# What is not to be undone. In the portal a person has a password, a second factor and a fresh
# proof; whoever came another way has the word of one member of staff, or of a mailbox.
APPROVED = of(Course.POSTPONED)


def automatic(channel: str) -> frozenset[Right]:
    """Return the rights that run by themselves when they were asked for by this channel."""
    return AUTOMATIC if channel == Request.Channel.PORTAL else AUTOMATIC - APPROVED
