# SPDX-License-Identifier: AGPL-3.0-or-later
"""The steps of erasing an address, in their order. Role `duty`.

Each is in one transaction with the mark that it is done, but for two: the log is emptied piece by
piece, each with its counts, and the search has no transaction. A crash between two loses nothing,
one inside undoes what has no mark; whoever carries on begins there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts import audit
from gdpr import ledger, places, scan
from gdpr.correspondents import certificate, erasers, log, packages, subject
from gdpr.correspondents.erasers import Tally
from gdpr.correspondents.whom import Correspondent
from gdpr.deadlines import day_of
from gdpr.models import AddressErasure
from gdpr.registry import NotPersonal, Whose
from gdpr.scan import Finding
from relay import cancelling, waitingfor

LEDGER, WAITING, OTHERS, EMPTY = "ledger", "waiting", "others", "log"
SCAN, CERTIFICATE, END = "scan", "certificate", "end"
ORDER = (LEDGER, WAITING, OTHERS, EMPTY, SCAN, CERTIFICATE, END)

# Parts of the report.
TALLY, KEPT, SEARCHED, ELSEWHERE, LEFT = "tally", "kept", "scan", "elsewhere", "left"
# Columns, stores, or the kind of an error: what its last fault was about.
STUCK = "stuck"
BACKUPS_UNTIL, LEDGER_UNTIL = "backups_until", "ledger_until"


class Leftover(Exception):
    """The scan found the address somewhere; as text it names the places."""

    def __init__(self, left: Iterable[Finding]) -> None:
        self.findings = tuple(left)
        super().__init__(", ".join(sorted({finding.place for finding in self.findings})))


class StillWaiting(Exception):
    """Mail to the address is on its way: it is waited for, which is no fault."""


@dataclass(frozen=True, slots=True)
class Work:
    """An erasure at one step; the row is locked."""

    erasure: AddressErasure
    whom: Correspondent
    now: datetime

    def report(self, **parts: Any) -> None:
        self.erasure.report = {**self.erasure.report, **parts}

    def add(self, tally: Tally) -> None:
        """Add to what was done so far, in the same transaction as the doing."""
        total = tally_of(self.erasure)
        total.add(tally)
        self.report(**{TALLY: total.as_json()})


def tally_of(erasure: AddressErasure) -> Tally:
    known = erasure.report.get(TALLY)
    return Tally.from_json(known) if known else Tally()


def take(work: Work) -> None:
    """Take the step that is next, and mark it. Raises StillWaiting, and what fails."""
    ACTS[work.erasure.step](work)
    _mark(work)


def _mark(work: Work) -> None:
    if work.erasure.step != END:
        work.erasure.step = ORDER[ORDER.index(work.erasure.step) + 1]
    work.erasure.save()


def _enter_ledger(work: Work) -> None:
    """Before anything goes: first on the disk, then in the table."""
    erasure, whom = work.erasure, work.whom
    of = (whom.organisation_id, whom.address, whom.until)
    entered = ledger.enter_address(erasure.pk, *of, work.now)
    work.report(**{LEDGER_UNTIL: entered.until_on.isoformat()})


def _end_waiting(work: Work) -> None:
    """End waiting mail as the customer chose; a shift does it, with its log and its notices."""
    whom = work.whom
    cancels = work.erasure.waiting == AddressErasure.Waiting.CANCEL
    still_waits = False
    for chosen in waitingfor.to(whom.organisation_id, whom.written, whom.until):
        if chosen:
            (cancelling.mark if cancels else cancelling.give_up)(chosen, work.now)
            still_waits = True
    if still_waits:
        raise StillWaiting


def _erase_others(work: Work) -> None:
    """Packages with their files first, then what stands outside the log."""
    work.add(packages.destroy_about(work.whom))
    work.add(erasers.erase_others(work.whom))


def empty_log(erasure: AddressErasure, locked: Callable[[], Work | None]) -> bool:
    """Empty the log piece by piece; `locked` gives the erasure, held by the transaction around.

    Return whether all is done: not where somebody else is at it.
    """
    for piece in log.pieces(subject.whom(erasure)):
        with transaction.atomic():
            work = locked()
            if work is None:
                return False
            work.add(erasers.erase_piece(piece, work.whom))
            work.erasure.save(update_fields=["report"])
    with transaction.atomic():
        work = locked()
        if work is None:
            return False
        if LEFT in work.erasure.report:
            # The search has found it in words of the log, which no index leads to.
            work.add(erasers.erase_mentions(work.whom))
        _mark(work)
    return True


def search(erasure: AddressErasure, now: datetime) -> scan.Scan:
    """Look for the address in all that the organisation has. Raises scan.ScanIncomplete."""
    whom = subject.whom(erasure)
    return scan.scan(whom.sought, now, within=whom.within)


def judge(work: Work, made: scan.Scan) -> None:
    """Write down what the search found. Raises Leftover."""
    left = [finding for finding in made.findings if _is_leftover(finding)]
    if left:
        raise Leftover(left)
    kept = [[entry.model, eraser.value, rows] for entry, eraser, rows in erasers.kept(work.whom)]
    elsewhere = {finding.place: finding.count for finding in made.findings if _is_own(finding)}
    values = {key: value for key, value in asdict(made).items() if key != "findings"}
    work.report(
        **{
            SEARCHED: values | {"at": made.at.isoformat()},
            KEPT: kept,
            ELSEWHERE: elsewhere,
            BACKUPS_UNTIL: _backups_until(work.now),
        }
    )
    work.erasure.report.pop(LEFT, None)
    _mark(work)


def _is_leftover(finding: Finding) -> bool:
    """Say whether it is neither kept by the inventory's word, nor an account's, nor a setting's."""
    entry, field = places.entry_of(finding), places.field_of(finding)
    if entry is None or field is None:
        return True
    erasing = {path.eraser for path in entry.for_subject(Whose.CORRESPONDENT)}
    if erasing and not erasing & erasers.KEEPING:
        return True
    return not (erasing or Whose.PERSON in entry.whose or _is_own(finding))


def _is_own(finding: Finding) -> bool:
    """Say whether it stands in words that the customer chose, as the name of a credential."""
    field = places.field_of(finding)
    return isinstance(field, NotPersonal) and field.customers_words


def _backups_until(now: datetime) -> str:
    return (day_of(now) + timedelta(days=settings.BACKUP_DAYS)).isoformat()


def look_again(work: Work, left: Iterable[Finding]) -> None:
    """Have the log emptied once more: what was found may have come late, or stand in a text."""
    work.report(**{LEFT: sorted({finding.place for finding in left})})
    work.erasure.step = OTHERS


def _certify(work: Work) -> None:
    pdf = certificate.issue(work.erasure, work.now)
    work.erasure.certificate = pdf
    work.erasure.certificate_digest = hashlib.sha256(pdf).hexdigest()


def _end(work: Work) -> None:
    """Forget whom it was about."""
    erasure = work.erasure
    erasure.state, erasure.ended_at = AddressErasure.State.DONE, work.now
    erasure.fault, erasure.sealed_address = AddressErasure.Fault.NONE, None
    erasure.report.pop(STUCK, None)
    audit.record(None, "addresserasure.ended", erasure)


ACTS: dict[str, Callable[[Work], None]] = {
    LEDGER: _enter_ledger,
    WAITING: _end_waiting,
    OTHERS: _erase_others,
    CERTIFICATE: _certify,
    END: _end,
}
