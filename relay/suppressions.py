# SPDX-License-Identifier: AGPL-3.0-or-later
"""An organisation's list of addresses that get no mail: add, import, export, remove.

The list is asked by fingerprint (suppressing.py); the address itself is kept for as long as the
log and shown to people, then only the fingerprint stays. Call it in the organisation's context.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock, limits, spreadsheets
from accounts.limits import HOUR, Limit
from accounts.models import Membership, Organisation
from accounts.refusals import Refused
from relay import restricting
from relay.log import PAGE, Place
from relay.models import Suppression, messages
from relay.smtp.addresses import AddressError, host_name, parse_path
from relay.suppressing import fingerprint, normalised

ACTS = Limit("suppressions", ((600, HOUR),))
FILES = Limit("suppression-files", ((10, HOUR),))
IMPORT_OCTETS = 5 * 1024 * 1024
IMPORT_LINES = 20_000
# Rows of one statement.
PIECE = 1_000
Reason = Suppression.Reason
# A wish of the recipient's own, which only a new wish of theirs ends.
WISHES = frozenset({Reason.OBJECTION, Reason.COMPLAINT})


class NotAnAddress(Refused):
    text: Promise = _("That is not an address. Write it like anna@company.example.")


class FileTooLarge(Refused):
    text: Promise = _("The file is too large. Split it and import the parts one after the other.")


class NotText(Refused):
    text: Promise = _("The file cannot be read. Save it as CSV with UTF-8.")


class NotConfirmed(Refused):
    text: Promise = _("Tick that the recipient wants your mail again: they asked for none.")


def read_address(text: str) -> str:
    """Return a whole address as the list compares it. Raises NotAnAddress."""
    try:
        path, rest = parse_path(f"<{text.strip()}>", utf8=True)
    except AddressError:
        raise NotAnAddress from None
    if path is None or rest:
        raise NotAnAddress
    return normalised(str(path))


def listed(
    organisation_id: UUID, address: str = "", before: Place | None = None, size: int = PAGE
) -> tuple[list[Suppression], Place | None]:
    """Return what is on the list, the newest first, and where to go on; or an address's rows."""
    rows = in_force(organisation_id).order_by("-created_at", "-id")
    if address:
        return list(rows.filter(address_hash=fingerprint(organisation_id, address))), None
    if before:
        # Spelt so that the index on (organisation, created_at, id) bounds the scan.
        rows = rows.filter(created_at__lte=before.at).exclude(
            created_at=before.at, id__gte=before.id
        )
    found = list(rows[: size + 1])
    last = found[size - 1] if len(found) > size else None
    return found[:size], Place(last.created_at, last.id) if last else None


def in_force(organisation_id: UUID) -> QuerySet[Suppression]:
    lasting = Q(expires_at=None) | Q(expires_at__gt=clock.now())
    return Suppression.objects.for_organisation(organisation_id).filter(lasting)


@transaction.atomic
def add(address: str, domain: str, reason: Reason, *, by: Membership) -> Suppression:
    """Put an address on the list, for mail of one domain or ("") of all. Raises TooMany.

    Whatever stood there about it before gives way, because a person's word has no end of its own;
    only the recipient's wish stays what it is.
    """
    limits.check(ACTS, str(by.organisation_id))
    now, known_by = clock.now(), fingerprint(by.organisation_id, address)
    rows = Suppression.objects.for_organisation(by.organisation_id)
    known = rows.filter(address_hash=known_by, domain=domain, reason__in=WISHES).first()
    if known and reason not in WISHES:
        reason = Reason(known.reason)
    if restricting.is_restricted(by.organisation_id, known_by):
        return _add_unseen(address, domain, reason, by)
    row, _is_new = Suppression.objects.update_or_create(
        organisation_id=by.organisation_id,
        address_hash=known_by,
        domain=domain,
        defaults={**_told(address, now), "reason": reason, "expires_at": None},
        create_defaults={**_told(address, now), "reason": reason, "created_at": now},
    )
    audit.record(by.user, "suppression.created", row)
    return row


def _add_unseen(address: str, domain: str, reason: Reason, by: Membership) -> Suppression:
    """Put a restricted address on the list, of which nobody sees whether it is there already."""
    now = clock.now()
    row = Suppression(
        organisation_id=by.organisation_id,
        address_hash=fingerprint(by.organisation_id, address),
        domain=domain,
        reason=reason,
        created_at=now,
        **_told(address, now),
    )
    Suppression.objects.bulk_create([row], ignore_conflicts=True)
    audit.record(by.user, "suppression.created", row)
    return row


def _told(address: str, now: datetime) -> dict[str, object]:
    return {"address": address, "address_until": now + timedelta(days=messages.LOG_DAYS)}


@transaction.atomic
def remove(row: Suppression, *, confirmed: bool, by: Membership) -> None:
    """Take an address off the list. Raises TooMany, NotConfirmed."""
    limits.check(ACTS, str(by.organisation_id))
    if row.reason in WISHES and not confirmed:
        raise NotConfirmed
    audit.record(by.user, "suppression.removed", row)
    row.delete()


@dataclass(frozen=True, slots=True)
class Import:
    """What a file held: addresses new to the list, known ones, and lines that name none."""

    added: int
    known: int
    wrong: tuple[int, ...]  # numbers of the first lines that name no address
    wrong_in_all: int


WRONG_SHOWN = 20


Key = tuple[bytes, str]  # an address's fingerprint, and the domain whose mail it gets none of


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a file; `is_whole`: of a list that was exported, with what it says of the row."""

    address: str
    domain: str = ""
    reason: Reason = Reason.IMPORTED
    expires_at: datetime | None = None
    is_whole: bool = False


def bring_in(file: bytes, *, only_look: bool, by: Membership) -> Import:
    """Put the addresses of a CSV file on the list; or only say what that would do.

    Of an exported list domain, reason and end count as well, and what stands on the list stays as
    it is; of any other file the first column alone is read, and what was to end by itself does not
    any more. A first line that names no address is taken for a heading. Raises TooMany,
    FileTooLarge, NotText.
    """
    limits.check(FILES, str(by.organisation_id))
    found, wrong = _read(file)
    entries = {(fingerprint(by.organisation_id, one.address), one.domain): one for one in found}
    added = 0
    with transaction.atomic():
        for piece in _pieces(entries):
            added += _add_piece(by.organisation_id, piece, only_look=only_look)
        if not only_look:
            audit.record(by.user, "organisation.suppressions-imported", by.organisation)
    return Import(added, len(entries) - added, tuple(wrong[:WRONG_SHOWN]), len(wrong))


def _read(file: bytes) -> tuple[list[Entry], list[int]]:
    """Return what a file holds, and the numbers of lines that cannot be read."""
    rows = _rows(file)
    columns = _columns(rows[0]) if rows else {}
    now = clock.now()
    entries, wrong = [], []
    for number, row in enumerate(rows, 1):
        if not row or not row[0].strip():
            continue
        try:
            entry = _entry(row, columns)
        except (NotAnAddress, AddressError, ValueError):
            if number > 1:
                wrong.append(number)
        else:
            if entry.expires_at is None or entry.expires_at > now:
                entries.append(entry)
    return entries, wrong


def _rows(file: bytes) -> list[list[str]]:
    if len(file) > IMPORT_OCTETS:
        raise FileTooLarge
    try:
        text = file.decode("utf-8-sig")
        read = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=False)
        # Empty lines by the million are small as a file, and large as rows.
        rows = list(islice(read, IMPORT_LINES + 1))
    except (UnicodeDecodeError, csv.Error):
        raise NotText from None
    if len(rows) > IMPORT_LINES:
        raise FileTooLarge
    return rows


_QUOTED = re.compile(r'"[^"]*"')


def _delimiter(text: str) -> str:
    """Semicolons are what Danish spreadsheets write; a quoted one is of an address."""
    found = re.search("[,;]", _QUOTED.sub("", text))
    return found[0] if found else ","


def _columns(heading: list[str]) -> dict[str, int]:
    """Return where the columns of an exported list stand; nothing for any other file."""
    names = [name.strip() for name in heading]
    return {name: names.index(name) for name in EXPORTED} if set(EXPORTED) <= set(names) else {}


def _entry(row: list[str], columns: dict[str, int]) -> Entry:
    """Raises NotAnAddress, AddressError or ValueError."""
    if not columns:
        return Entry(read_address(spreadsheets.text(row[0].strip())))
    cells = [spreadsheets.text(cell.strip()) for cell in row] + [""] * len(EXPORTED)
    told = {name: cells[place] for name, place in columns.items()}
    until = datetime.fromisoformat(told["until"]) if told["until"] else None
    return Entry(
        address=read_address(told["address"]),
        domain=host_name(told["domain"].lower()) if told["domain"] else "",
        reason=Reason(told["reason"]),
        expires_at=until.replace(tzinfo=until.tzinfo or UTC) if until else None,
        is_whole=True,
    )


def _pieces(entries: dict[Key, Entry]) -> Iterator[dict[Key, Entry]]:
    items = iter(sorted(entries.items(), key=lambda item: item[0]))
    while piece := dict(islice(items, PIECE)):
        yield piece


def _add_piece(organisation_id: UUID, piece: dict[Key, Entry], *, only_look: bool) -> int:
    rows = Suppression.objects.for_organisation(organisation_id).filter(
        address_hash__in={found for found, _domain in piece}
    )
    known = {(bytes(found), domain) for found, domain in rows.values_list("address_hash", "domain")}
    now = clock.now()
    fresh = [
        Suppression(
            organisation_id=organisation_id,
            address_hash=found,
            domain=domain,
            reason=entry.reason,
            expires_at=entry.expires_at,
            created_at=now,
            **_told(entry.address, now),
        )
        for (found, domain), entry in piece.items()
        if (found, domain) not in known
    ]
    if not only_look:
        Suppression.objects.bulk_create(fresh, ignore_conflicts=True)
        # What was to end by itself does not any more.
        listed = {found for (found, _domain), entry in piece.items() if not entry.is_whole}
        rows.filter(address_hash__in=listed, domain="").exclude(expires_at=None).update(
            expires_at=None, reason=Reason.IMPORTED
        )
    return len(fresh)


EXPORTED = ("address", "fingerprint", "domain", "reason", "added", "until")


def exported(organisation: Organisation) -> Iterator[str]:
    """Yield the list as lines of CSV, piece by piece; each in a context of its own is the caller's.

    After the log's period the address is gone, and its fingerprint stands alone.
    """
    yield spreadsheets.MARK.decode() + _line(EXPORTED)
    before: Place | None = None
    while True:
        rows, before = listed(organisation.id, before=before, size=PIECE)
        yield "".join(_line(_cells(row)) for row in rows)
        if before is None:
            return


def _cells(row: Suppression) -> tuple[str, ...]:
    until = row.expires_at.isoformat() if row.expires_at else ""
    return (
        row.address or "",
        bytes(row.address_hash).hex(),
        row.domain,
        row.reason,
        row.created_at.isoformat(),
        until,
    )


def _line(cells: tuple[str, ...]) -> str:
    return spreadsheets.lines([map(spreadsheets.cell, cells)]).decode()


def forget_all(organisation_id: UUID) -> None:
    """Forget an organisation's whole list, because it has left (role duty)."""
    Suppression.objects.for_organisation(organisation_id).delete()


def forget(now: datetime) -> int:
    """Forget addresses whose period ends within the hour, and rows that expired (role duty)."""
    due = Suppression.objects.filter(
        address__isnull=False, address_until__lte=now + timedelta(hours=1)
    )
    count = due.update(address=None, address_until=None)
    Suppression.objects.filter(expires_at__lte=now).delete()
    return count
