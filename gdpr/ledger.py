# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who was erased, as keyed hashes: in a table, and in a journal outside the database.

A backup that is restored brings erased people back, and takes the table back with it. The journal
stays, and tells whom to erase again. Neither names anybody: a hash is compared with those of the
people who are there, and the key lies in the vault. Each holds all that the other holds, so that
an older database and a journal that has lost lines are both seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from django.conf import settings

from accounts import vault
from accounts.models import User
from accounts.signedlines import SignedLines
from gdpr.models import LedgerEntry

# A backup may be restored on its last day, and the ledger is needed until that is over.
MARGIN_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """One erased person; the digest is HMAC-SHA-256, and empty in an entry that is of nobody."""

    erasure_id: UUID
    person_digest: bytes
    entered_at: datetime
    until_on: date


def enter(erasure_id: UUID, person_id: UUID, now: datetime) -> Erased:
    """Write the person down before anything of them is deleted: first on the disk, then here.

    Doing it again after a crash adds a line to the journal and changes nothing else.
    """
    return _enter(erasure_id, person_digest(person_id), now)


def attest(now: datetime) -> Erased:
    """Write an entry of nobody, one for each day, so that an empty journal is seen to be lost.

    Without it a directory that was not mounted reads as if nobody had ever been erased.
    """
    return _enter(uuid5(NAMESPACE_OID, f"journal {now:%Y-%m-%d}"), b"", now)


def _enter(erasure_id: UUID, digest: bytes, now: datetime) -> Erased:
    erased = Erased(
        erasure_id=erasure_id,
        person_digest=digest,
        entered_at=now,
        until_on=now.date() + timedelta(days=kept_days()),
    )
    _journal().append([_line(erased)], now)
    _insert(erased)
    return erased


def kept_days() -> int:
    """Return for how long an entry is needed: as long as a backup has the person, and a margin."""
    return int(settings.BACKUP_DAYS) + MARGIN_DAYS


def person_digest(person_id: UUID) -> bytes:
    return vault.keyed_hash("erased-person", person_id.bytes)


def entries_about(person_id: UUID) -> list[UUID]:
    """Return the primary keys of the entries that stand for this account."""
    rows = LedgerEntry.objects.filter(person_digest=person_digest(person_id))
    return list(rows.values_list("erasure_id", flat=True))


def journal(today: date) -> dict[UUID, Erased]:
    """Return what the journal says, by erasure. Raises signedlines.LinesAltered."""
    found = (_erased(line) for line in _journal().read())
    return {erased.erasure_id: erased for erased in found if erased.until_on >= today}


def missing(today: date) -> list[Erased]:
    """Return what the journal has and the table has not: the database is an older one."""
    known = set(LedgerEntry.objects.values_list("erasure_id", flat=True))
    return [erased for erased in journal(today).values() if erased.erasure_id not in known]


def unwritten(today: date) -> list[Erased]:
    """Return what the table has and the journal has not: its lines, or all of it, were lost."""
    written = journal(today)
    # What was entered before that, the journal has dropped: the period was longer at that time.
    since = today - timedelta(days=kept_days())
    table = [erased for erased in _table(today) if erased.entered_at.date() >= since]
    return [erased for erased in table if erased.erasure_id not in written]


def bring_in(erased: list[Erased]) -> None:
    """Write to the table what the journal had alone."""
    for entry in erased:
        _insert(entry)


def write_again(erased: list[Erased], now: datetime) -> None:
    """Write to the journal what the table had alone."""
    _journal().append([_line(entry) for entry in erased], now)


def resurrected(today: date) -> Iterator[tuple[User, Erased]]:
    """Yield the people who are there although the journal or the table says they were erased."""
    entries = [*journal(today).values(), *_table(today)]
    erased = {entry.person_digest: entry for entry in entries if entry.person_digest}
    # Ids are random and never used twice, so that one who comes again by themselves is another.
    for user in User.objects.only("id").iterator() if erased else ():
        if entry := erased.get(person_digest(user.id)):
            yield user, entry


def forget(now: datetime) -> int:
    """Drop entries whose time is over, here and in the journal; return how many rows went."""
    # All lines of a month's file have the same period, and the file goes with its last.
    _journal().drop_before(now - timedelta(days=kept_days()))
    count, _ = LedgerEntry.objects.filter(until_on__lt=now.date()).delete()
    return count


def _table(today: date) -> list[Erased]:
    return [
        Erased(
            erasure_id=row.erasure_id,
            person_digest=bytes(row.person_digest),
            entered_at=row.entered_at,
            until_on=row.until_on,
        )
        for row in LedgerEntry.objects.filter(until_on__gte=today)
    ]


def _insert(erased: Erased) -> None:
    LedgerEntry.objects.get_or_create(
        erasure_id=erased.erasure_id,
        defaults={
            "person_digest": erased.person_digest,
            "entered_at": erased.entered_at,
            "until_on": erased.until_on,
        },
    )


def _journal() -> SignedLines:
    return SignedLines(Path(settings.ERASURE_JOURNAL), "erasures-", "erasure-journal")


def _line(erased: Erased) -> str:
    return json.dumps(
        {
            "erasure": str(erased.erasure_id),
            "person": erased.person_digest.hex(),
            "at": erased.entered_at.isoformat(),
            "until": erased.until_on.isoformat(),
        }
    )


def _erased(line: str) -> Erased:
    values = json.loads(line)
    return Erased(
        erasure_id=UUID(values["erasure"]),
        person_digest=bytes.fromhex(values["person"]),
        entered_at=datetime.fromisoformat(values["at"]),
        until_on=date.fromisoformat(values["until"]),
    )
