# SPDX-License-Identifier: AGPL-3.0-or-later
"""After a restore: erase again whom the journal names, and look every day whether somebody is back.

People, and addresses that customers erased from their logs.

Journal and table are compared both ways. Role `duty`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from accounts import alerts
from accounts.models import User
from accounts.signedlines import LinesAltered
from gdpr import ledger
from gdpr.correspondents import repeat as correspondents
from gdpr.correspondents.repeat import Back
from gdpr.erasing import run, subject
from gdpr.ledger import Erased
from gdpr.models import Erasure

BACK = "erased-person-back"
ADDRESS_BACK = "erased-address-back"
OLDER = "database-older-than-erasures"
LOST = "erasure-journal-incomplete"
ALTERED = "erasure-journal-altered"
UNREADABLE = "erasure-journal-unreadable"
UNWRITABLE = "erasure-journal-unwritable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Who is there again, what the table lacks, and what the journal lacks.

    `addresses` are those that a customer erased from its log. `cut_off` is what the table lacks
    because a step, or the entry of a day, ended in between.
    """

    back: list[User]
    addresses: list[Back]
    missing: list[Erased]
    cut_off: list[Erased]
    unwritten: list[Erased]

    @property
    def is_older(self) -> bool:
        """Whether erasures must be repeated before the database is used."""
        return bool(self.back or self.addresses or self.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """How many entries came into the table and into the journal, how many people were erased, not
    wholly erased, and are still there; and how many addresses were erased from a log.

    Addresses that are not wholly erased, or are still there, count as people do.
    """

    entries: int
    lost: int
    erased: int
    addresses: int
    unfinished: int
    remaining: int


def compare(now: datetime) -> Compared:
    """Hold people, table and journal against each other. Raises LinesAltered, OSError."""
    today, running = now.date(), _running()
    people = set(running.values())
    under_way = running.keys() | correspondents.running()
    absent = ledger.missing(today)
    # The line is on the disk before the row is committed. An erasure that runs here takes the step
    # again; an entry of nobody says nothing of an erasure.
    cut_off = [one for one in absent if one.is_of_nobody or one.erasure_id in under_way]
    return Compared(
        back=[person for person, _ in ledger.resurrected(today) if person.pk not in people],
        addresses=correspondents.back(today),
        missing=[entry for entry in absent if entry not in cut_off],
        cut_off=cut_off,
        unwritten=ledger.unwritten(today),
    )


def repeat(now: datetime) -> Repeated:
    """Erase everybody who is there although they were erased. Raises LinesAltered.

    Nobody has time to think again: they have had it. One that runs here is carried on, and is no
    repetition. Harmless when repeated.
    """
    today = now.date()
    missing, unwritten = ledger.missing(today), ledger.unwritten(today)
    back = list(ledger.resurrected(today))
    erased = sum(_erase(person, entry, now) for person, entry in back)
    addresses = list(correspondents.resurrected(today))
    emptied = sum(correspondents.erase_again(one, now) for one in addresses)
    # Last: an interrupted run finds the same people by the journal.
    ledger.bring_in(missing)
    ledger.write_again(unwritten, now)
    return Repeated(
        entries=len(missing),
        lost=len(unwritten),
        erased=erased,
        addresses=emptied,
        unfinished=len(back) - erased + len(addresses) - emptied,
        remaining=_remaining(today),
    )


def _remaining(today: date) -> int:
    people = sum(1 for _ in ledger.resurrected(today))
    return people + sum(1 for _ in correspondents.resurrected(today))


def probe(now: datetime) -> Compared | None:
    """Alert when somebody is back, and when table or journal lacks what the other has.

    Return what was found, nothing when the journal was altered or cannot be read.
    """
    try:
        found = compare(now)
    except LinesAltered:
        alerts.raise_alert(ALTERED)
        return None
    except OSError:
        alerts.raise_alert(UNREADABLE)
        return None
    alerts.resolve_alert(ALTERED)
    alerts.resolve_alert(UNREADABLE)
    _tell(BACK, bool(found.back))
    _tell(ADDRESS_BACK, bool(found.addresses))
    _tell(OLDER, bool(found.missing))
    _tell(LOST, bool(found.unwritten))
    return found


def refuse_older_database(now: datetime) -> None:
    """Call before a process that works with people's data. Raises ImproperlyConfigured.

    A journal that was altered, cannot be read or has lost lines is an alert only: nothing would
    tell of it if the process that sends mail stood still.
    """
    found = probe(now)
    if found and found.is_older:
        raise ImproperlyConfigured(
            "the database is older than erasures in the journal: run manage.py replay_erasures"
        )
    if found:
        ledger.bring_in(found.cut_off)


def attest(now: datetime) -> None:
    """Enter that the journal is there today; alert when it cannot be written."""
    try:
        ledger.attest(now)
    except OSError:
        alerts.raise_alert(UNWRITABLE)
    else:
        alerts.resolve_alert(UNWRITABLE)


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
    # One that runs here is no repetition: its person has not had the last mail.
    if erasure.state != Erasure.State.RUNNING:
        erasure.is_repeat = True
    erasure.due_at = now
    erasure.language = User.objects.only("language").get(pk=person.pk).language
    erasure.save()
    return erasure


def _running() -> dict[UUID, UUID | None]:
    """Return whom the running erasures are about.

    By the person too: a repeated erasure need not have the number that the ledger has.
    """
    running = Erasure.objects.filter(state=Erasure.State.RUNNING)
    return {erasure.pk: subject.carried(erasure).subject.person_id for erasure in running}


def _tell(alert: str, is_so: bool) -> None:
    if is_so:
        alerts.raise_alert(alert)
    else:
        alerts.resolve_alert(alert)
