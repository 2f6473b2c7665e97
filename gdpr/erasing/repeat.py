# SPDX-License-Identifier: AGPL-3.0-or-later
"""After a restore: erase again whom the journal names, and look every day whether somebody is back.

Role `duty`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from accounts import alerts
from accounts.models import User
from gdpr import ledger
from gdpr.erasing import run, subject
from gdpr.ledger import Erased
from gdpr.models import Erasure

BACK = "erased-person-back"
OLDER = "database-older-than-erasures"


@dataclass(frozen=True, slots=True)
class Repeated:
    """How many ledger entries were brought in, people erased, not wholly erased, still there."""

    entries: int
    erased: int
    unfinished: int
    remaining: int


def repeat(now: datetime) -> Repeated:
    """Erase everybody who is there although they were erased. Raises LinesAltered.

    Nobody has time to think again: they have had it. Harmless when repeated.
    """
    today = now.date()
    missing = ledger.missing(today)
    back = list(ledger.resurrected(today))
    erased = sum(_erase(person, entry, now) for person, entry in back)
    # Last: an interrupted run finds the same people by the journal.
    ledger.bring_in(missing)
    remaining = sum(1 for _ in ledger.resurrected(today))
    return Repeated(len(missing), erased, len(back) - erased, remaining)


def probe(now: datetime) -> int:
    """Alert when the database is older than an erasure or somebody is back; return how many."""
    today = now.date()
    back = [person for person, entry in ledger.resurrected(today) if not _is_running(entry)]
    _tell(BACK, bool(back))
    _tell(OLDER, bool(ledger.missing(today)))
    return len(back)


def _erase(person: User, entry: Erased, now: datetime) -> bool:
    with transaction.atomic():
        erasure = _erasure_for(person, entry, now)
        if erasure.state != Erasure.State.RUNNING:
            subject.carry(erasure, User.objects.get(pk=person.pk))
            run.start(erasure, now)
    return run.carry_out(erasure.pk, now)


def _erasure_for(person: User, entry: Erased, now: datetime) -> Erasure:
    """Return the erasure as the backup has it, or one made anew where it has none to go on with."""
    rows = Erasure.objects.select_for_update()
    erasure = rows.filter(pk=entry.erasure_id).first()
    if erasure is None:
        erasure = Erasure(pk=entry.erasure_id, asked_at=entry.entered_at)
    elif erasure.ended_at is not None:
        erasure = Erasure(asked_at=entry.entered_at)
    erasure.is_repeat, erasure.due_at = True, now
    erasure.language = User.objects.only("language").get(pk=person.pk).language
    erasure.save()
    return erasure


def _is_running(entry: Erased) -> bool:
    running = Erasure.State.RUNNING
    return Erasure.objects.filter(pk=entry.erasure_id, state=running).exists()


def _tell(alert: str, is_so: bool) -> None:
    if is_so:
        alerts.raise_alert(alert)
    else:
        alerts.resolve_alert(alert)
