# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who was erased, as keyed hashes: in a table, and in a journal outside the database.

A backup that is restored brings erased people back, and takes the table back with it. The journal
stays, and tells whom to erase again. Neither names anybody: a hash is compared with those of the
people who are there, and the key lies in the vault. Each holds all that the other holds, so that
an older database and a journal that has lost lines are both seen.

An address that a customer has erased from its log has entries too: of that customer alone, and
about mail that was accepted until the entry. What comes later is new (gdpr/correspondents).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
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
    """One erased person, or one address erased by an organisation; an entry of nobody has neither.

    The digests are HMAC-SHA-256, or empty.
    """

    erasure_id: UUID
    person_digest: bytes = b""
    organisation_id: UUID | None = None
    address_digest: bytes = b""
    entered_at: datetime
    until_on: date

    @property
    def is_of_nobody(self) -> bool:
        return not self.person_digest and not self.address_digest


def enter(erasure_id: UUID, person_id: UUID, now: datetime) -> Erased:
    """Write the person down before anything of them is deleted: first on the disk, then here.

    Doing it again after a crash adds a line to the journal and changes nothing else.
    """
    return _enter(_entry(erasure_id, now, person_digest=person_digest(person_id)), now)


def enter_address(
    erasure_id: UUID, organisation_id: UUID, address: str, until: datetime, now: datetime
) -> Erased:
    """Write down that an organisation erases its mail of an address accepted `until` then.

    `address` is hashed as it stands: in the one form that all of its spellings share.
    """
    digest = address_digest(organisation_id, address)
    made = _entry(erasure_id, now, organisation_id=organisation_id, address_digest=digest)
    return _enter(replace(made, entered_at=until), now)


def complete(erasure_id: UUID, now: datetime) -> Erased:
    """Write down that nothing of an erasure is kept any more: an entry of nobody, beside its own.

    The rows that went with it can come back with a backup as people can.
    """
    return _enter(_entry(completion_of(erasure_id), now), now)


def completion_of(erasure_id: UUID) -> UUID:
    """Return what the entry of an erasure's completion is known by."""
    return uuid5(erasure_id, "completed")


def attest(now: datetime) -> Erased:
    """Write an entry of nobody, one for each day, so that an empty journal is seen to be lost.

    Without it a directory that was not mounted reads as if nobody had ever been erased.
    """
    return _enter(_entry(uuid5(NAMESPACE_OID, f"journal {now:%Y-%m-%d}"), now), now)


def _entry(erasure_id: UUID, now: datetime, **whose: Any) -> Erased:
    until_on = now.date() + timedelta(days=kept_days())
    return Erased(erasure_id=erasure_id, entered_at=now, until_on=until_on, **whose)


def _enter(erased: Erased, now: datetime) -> Erased:
    _journal().append([_line(erased)], now)
    _insert(erased)
    return erased


def kept_days() -> int:
    """Return for how long an entry is needed: as long as a backup has the person, and a margin."""
    return int(settings.BACKUP_DAYS) + MARGIN_DAYS


def person_digest(person_id: UUID) -> bytes:
    return vault.keyed_hash("erased-person", person_id.bytes)


def address_digest(organisation_id: UUID, address: str) -> bytes:
    """Return what an address is known by: another value for each organisation."""
    return vault.keyed_hash("erased-address", organisation_id.bytes + address.encode())


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
    erased = {entry.person_digest: entry for entry in _all(today) if entry.person_digest}
    # Ids are random and never used twice, so that one who comes again by themselves is another.
    for user in User.objects.only("id").iterator() if erased else ():
        if entry := erased.get(person_digest(user.id)):
            yield user, entry


def erased_addresses(today: date) -> dict[UUID, dict[bytes, Erased]]:
    """Return the last entry about each address that was erased, by organisation and digest.

    Raises signedlines.LinesAltered.
    """
    found: dict[UUID, dict[bytes, Erased]] = {}
    for entry in sorted(_all(today), key=lambda one: one.entered_at):
        if entry.organisation_id is not None and entry.address_digest:
            found.setdefault(entry.organisation_id, {})[entry.address_digest] = entry
    return found


def _all(today: date) -> list[Erased]:
    return [*journal(today).values(), *_table(today)]


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
            organisation_id=row.of_organisation,
            address_digest=bytes(row.address_digest),
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
            "of_organisation": erased.organisation_id,
            "address_digest": erased.address_digest,
            "entered_at": erased.entered_at,
            "until_on": erased.until_on,
        },
    )


def _journal() -> SignedLines:
    return SignedLines(Path(settings.ERASURE_JOURNAL), "erasures-", "erasure-journal")


def _line(erased: Erased) -> str:
    values = {
        "erasure": str(erased.erasure_id),
        "person": erased.person_digest.hex(),
        "at": erased.entered_at.isoformat(),
        "until": erased.until_on.isoformat(),
    }
    if erased.organisation_id is not None:
        values["organisation"] = str(erased.organisation_id)
        values["address"] = erased.address_digest.hex()
    return json.dumps(values)


def _erased(line: str) -> Erased:
    values = json.loads(line)
    return Erased(
        erasure_id=UUID(values["erasure"]),
        person_digest=bytes.fromhex(values["person"]),
        organisation_id=UUID(values["organisation"]) if "organisation" in values else None,
        address_digest=bytes.fromhex(values.get("address", "")),
        entered_at=datetime.fromisoformat(values["at"]),
        until_on=date.fromisoformat(values["until"]),
    )
