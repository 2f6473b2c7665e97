# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a person asks for in the portal: the request, and at once what runs by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from accounts.models import User
from gdpr import carrying, closing, requests
from gdpr.courses import AUTOMATIC, WITHDRAWABLE
from gdpr.letters import drafts, writing
from gdpr.models import Request, RequestedRight, Right
from gdpr.rights import erasure, rectification
from gdpr.rights.rectification import Wish

State = RequestedRight.State


def ask(
    person: User,
    rights: Mapping[Right, str],
    now: datetime,
    *,
    wish: Wish | None = None,
    session_key: str | None = None,
) -> Request:
    """Open a request of a person who has stepped up, do what is done at once, and confirm it.

    `wish` is what is to be corrected; an erasure ends every session but that of `session_key`.
    Raises NothingAsked, AlreadyOpen, OwnedAlone; then nothing of it was asked for.
    """
    with transaction.atomic():
        request = requests.open_by_person(person, rights, now)
        # An erasure restricts the account: what else is asked for comes before it.
        for row in sorted(request.rights.all(), key=lambda row: row.right == Right.ERASURE):
            if row.right == Right.ERASURE:
                requests.mark_begun(row, now)
                erasure.begin(row, person, now, by=person, session_key=session_key)
            elif row.right in carrying.BEGUN:
                carrying.begin(row, person, now)
            if row.right == Right.RECTIFICATION and wish is not None:
                rectification.note_wish(row, wish, now)
            if row.right not in AUTOMATIC:
                drafts.send(writing.received(row))
    return request


def answer(row: RequestedRight, person: User, words: str, now: datetime) -> None:
    """Answer what was asked; the clock runs on from now. Raises IllegalMove."""
    if row.state != State.PAUSED:
        raise requests.IllegalMove
    requests.move(row, State.ASSESS, requests.person(person), now, reason=words)


def may_withdraw(row: RequestedRight) -> bool:
    """Say whether a right can be taken back; an erasure that has begun is cancelled instead."""
    return row.is_open and (row.right in WITHDRAWABLE or row.begun_at is None)


def withdraw(row: RequestedRight, person: User, now: datetime) -> None:
    """Take a request back; nothing that was ordered or written for it stays. Raises IllegalMove."""
    if not may_withdraw(row):
        raise requests.IllegalMove
    with transaction.atomic():
        requests.move(row, State.WITHDRAWN, requests.person(person), now)
        closing.clear(row)
