# SPDX-License-Identifier: AGPL-3.0-or-later
"""Withdrawal of consent by a request (GDPR article 7(3)): done in the act of asking."""

from __future__ import annotations

from datetime import datetime

from accounts import consents
from accounts.models import User
from gdpr import requests
from gdpr.letters import drafts, writing
from gdpr.models import RequestedRight


def begin(right: RequestedRight, person: User, now: datetime) -> None:
    """End every consent and say so; nobody has to look at it first. Roles `web` and `duty`."""
    consents.withdraw_all(person, consents.Channel.REQUEST)
    requests.move(right, RequestedRight.State.DONE, requests.person(person), now)
    drafts.send(writing.done(right))
