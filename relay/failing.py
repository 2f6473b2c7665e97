# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tells the people behind a domain that one of its records is gone, before mail suffers from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from accounts import emails, roster
from accounts.models.organisations import BUILDERS
from relay.models import DkimKey, SendingDomain

State, Reason = SendingDomain.State, SendingDomain.Reason

# Name servers that do not answer are mostly back within minutes: told only after this long.
SILENCE = timedelta(hours=24)


def tell(before: SendingDomain, domain: SendingDomain, stopped: Sequence[DkimKey]) -> int:
    """Mail those who can mend it, once for each change (role duty); returns how many mails.

    `before` is the domain as the last look left it, `stopped` are keys that sign no more. Call it
    in the transaction of the change.
    """
    is_lost = before.state != State.PENDING and domain.state == State.PENDING
    if not (stopped or is_lost or _is_gone(domain) > _is_gone(before)):
        return 0
    selectors = [key.selector for key in stopped]
    menders = roster.members(domain.organisation_id).filter(role__in=BUILDERS, user__is_active=True)
    for membership in menders:
        emails.domain_failing(membership, domain.id, domain.name, selectors, is_lost=is_lost)
    return len(menders)


def _is_gone(domain: SendingDomain) -> bool:
    if domain.reason == Reason.UNREACHABLE:
        return domain.state != State.PENDING and _silent_for(domain) >= SILENCE
    return bool(domain.state == State.FAILING)


def _silent_for(domain: SendingDomain) -> timedelta:
    seen: datetime | None = domain.verified_at
    return domain.checked_at - seen if domain.checked_at and seen else timedelta()
