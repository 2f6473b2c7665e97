# SPDX-License-Identifier: AGPL-3.0-or-later
"""Objection (GDPR article 21): marketing stops at once, the rest is weighed by people.

Until they have decided, the account is restricted (article 18(1)(d)).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import consents
from accounts.models import Consent, User
from gdpr import requests
from gdpr.letters import drafts, writing
from gdpr.models import Request, RequestedRight, Right
from gdpr.rights import restriction
from gdpr.rights.restriction import Ground

State = RequestedRight.State


def ask(person: User, words: str, now: datetime, *, marketing_only: bool) -> Request:
    """Open the objection of a person who has stepped up in the portal. Role `web`.

    One to marketing needs no reason, and none is set against it: it is answered at once.
    """
    with transaction.atomic():
        request = requests.open_by_person(person, {Right.OBJECTION: words}, now)
        right = request.rights.get()
        requests.mark_begun(right, now)
        if marketing_only:
            _stop_marketing(person)
            _answer(right, person, now)
        else:
            begin(right, person, now)
            drafts.send(writing.received(right))
    return request


def begin(right: RequestedRight, person: User, now: datetime) -> None:
    """Stop marketing, and restrict the account until staff have weighed the rest.

    Roles `web` and `duty`.
    """
    _stop_marketing(person)
    restriction.impose(person, Ground.OBJECTION, now, right=right)


def _stop_marketing(person: User) -> None:
    """All there is rests on consent, and ends with it (article 21(3))."""
    consents.withdraw_all(person, Consent.Channel.REQUEST)


def _answer(right: RequestedRight, person: User, now: datetime) -> None:
    for state in (State.ACT, State.DONE):
        requests.move(right, state, requests.person(person), now)
    drafts.send(writing.done(right))
