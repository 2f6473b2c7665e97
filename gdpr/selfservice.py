# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person asks for in the portal: the request, and at once what runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from accounts.models import User
from gdpr import closing, packages, requests
from gdpr.courses import PACKED, WITHDRAWABLE
from gdpr.letters import drafts, writing
from gdpr.models import Request, RequestedRight, Right

State = RequestedRight.State


def ask(person: User, rights: Mapping[Right, str], now: datetime) -> Request:
    """Open a request of a person who has stepped up, order its packages and confirm it by mail.

    Raises NothingAsked, AlreadyOpen.
    """
    with transaction.atomic():
        request = requests.open_by_person(person, rights, now)
        for row in request.rights.all():
            if row.right in PACKED:
                packages.order(row, person, now)
            else:
                drafts.send(writing.received(row))
    return request


def answer(row: RequestedRight, person: User, words: str, now: datetime) -> None:
    """Answer what was asked; the clock runs on from now. Raises IllegalMove."""
    if row.state != State.PAUSED:
        raise requests.IllegalMove
    requests.move(row, State.ASSESS, requests.person(person), now, reason=words)


def withdraw(row: RequestedRight, person: User, now: datetime) -> None:
    """Take a request back; nothing that was ordered or written for it stays. Raises IllegalMove."""
    if row.right not in WITHDRAWABLE:
        raise requests.IllegalMove
    with transaction.atomic():
        requests.move(row, State.WITHDRAWN, requests.person(person), now)
        closing.clear(row)
