# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff decide about a right: each is a step, and a letter where the law wants one."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.models import User
from gdpr import emails, requests
from gdpr.models import Correction, RequestedRight, Right
from gdpr.rights import rectification

State = RequestedRight.State

# Who has got no answer yet hears nothing of these.
SILENT = frozenset({State.IDENTITY, State.ASSESS, State.ACT})


def move(row: RequestedRight, to: State, by: User, now: datetime, *, reason: str = "") -> None:
    """Take a right to another state and write to the person about it.

    Raises IllegalMove, ReasonMissing.
    """
    with transaction.atomic():
        requests.move(row, to, requests.staff(by), now, reason=reason)
        if to == State.PAUSED:
            emails.question(row, reason)
        elif to not in SILENT:
            _forget_wish(row)
            emails.answered(row)


def extend(row: RequestedRight, by: User, now: datetime, *, reason: str) -> None:
    """Take three months from receipt and tell the person why, before the limit (article 12(3)).

    Raises IllegalMove, TooLate, ReasonMissing.
    """
    with transaction.atomic():
        requests.extend(row, requests.staff(by), now, reason=reason)
        emails.extended(row, reason)


def accept_correction(row: RequestedRight, by: User, now: datetime) -> None:
    """Write what the person wants corrected. Raises IllegalMove, ValueTaken."""
    correction = Correction.objects.filter(right=row).first()
    if row.right != Right.RECTIFICATION or correction is None:
        raise requests.IllegalMove
    rectification.accept(correction, by, now)


def _forget_wish(row: RequestedRight) -> None:
    for correction in Correction.objects.filter(right=row):
        correction.forget()
