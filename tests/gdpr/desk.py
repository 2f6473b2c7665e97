# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff and the worker do with requests, each in the role that it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from accounts import clock
from accounts.models import Alert, User
from accounts.tenancy import person_context
from gdpr import intake
from gdpr.intake import Letter
from gdpr.letters import sealing
from gdpr.models import Request, RequestedRight, Right
from tests import build


@contextmanager
def at_the_desk(staff: User) -> Iterator[None]:
    """Act as a member of staff who is signed in."""
    with person_context(staff.pk), build.as_role("staff"):
        yield


def letter(*rights: Right, **fields: Any) -> Letter:
    """What Anna, or whoever says to be her, has written."""
    values: dict[str, Any] = {
        "received_at": build.NOW,
        "language": "da",
        "rights": rights or (Right.ACCESS,),
        "words": "Please.",
        "address": "anna@due.example",
        "contact": "Anna Due, by phone",
    }
    return Letter(**values | fields)


def entered(staff: User, *rights: Right, now: datetime = build.NOW, **fields: Any) -> Request:
    with at_the_desk(staff):
        return intake.enter(letter(*rights, **fields), staff, now)


def round_of_the_worker(now: datetime) -> None:
    with build.as_role("duty"):
        intake.work(now)


def letters_leave() -> int:
    """The worker seals the letters that wait, and posts them."""
    with build.as_role("duty"):
        return sealing.run(clock.now())


def fresh(row: RequestedRight) -> RequestedRight:
    with build.as_owner():
        return RequestedRight.objects.select_related("request").get(pk=row.pk)


def only_right(request: Request) -> RequestedRight:
    with build.as_owner():
        return request.rights.select_related("request").get()


def told(kind: str) -> set[str]:
    """What open alerts of a kind are about."""
    with build.as_owner():
        rows = Alert.objects.filter(kind=kind, resolved_at=None)
        return set(rows.values_list("subject", flat=True))
