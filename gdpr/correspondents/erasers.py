# SPDX-License-Identifier: AGPL-3.0-or-later
"""What erasing an address does to the rows of an organisation, table by table. Role `duty`.

The words are the inventory's: rows that name the address are emptied of it (BLANK) or deleted
(ROW), others no longer lead to it (UNLINK), and some go by themselves or are kept. Doing it again
finds nothing to do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, cast

from django.db import connection
from django.db.models import QuerySet

from accounts.tenancy import TenantQuerySet
from gdpr import subjects
from gdpr.correspondents.log import Piece, ask
from gdpr.correspondents.whom import Correspondent, other_entries
from gdpr.registry import Entry, Eraser, SubjectPath, Whose
from gdpr.scan.needles import needles

KEEPING = frozenset({Eraser.EXPIRY, Eraser.ORGANISATION, Eraser.HOLD})

# The bounds name the day; the keys go down the primary key, which begins with them.
THESE = """accepted_at >= %(first)s AND accepted_at <= %(last)s AND (accepted_at, {message}) IN
    (SELECT * FROM unnest(%(at)s::timestamptz[], %(ids)s::uuid[]))"""
OF_THESE = THESE.format(message="message_id")
_OF_POSITIONS = """
(SELECT count(*) FROM relay_{table} WHERE accepted_at >= %(first)s AND accepted_at <= %(last)s
    AND (accepted_at, message_id, position) IN (SELECT * FROM unnest(%(position_at)s::timestamptz[],
        %(position_ids)s::uuid[], %(positions)s::int[])))
"""
_BLANK_DELIVERIES = """
UPDATE relay_delivery SET recipient = '', display_name = ''
WHERE {these} AND recipient = ANY(%(written)s) RETURNING accepted_at, message_id, position
"""
_DELIVERIES = "SELECT accepted_at, message_id, position FROM relay_delivery WHERE {these}"
_BLANK_MESSAGES = "UPDATE relay_message SET sender = '', subject = '' WHERE {these}"
_DELETE_HEADERS = "DELETE FROM relay_messageheader WHERE {these}"
BLANK_DELIVERIES = _BLANK_DELIVERIES.format(these=OF_THESE)
DELIVERIES = _DELIVERIES.format(these=OF_THESE)
BLANK_MESSAGES = _BLANK_MESSAGES.format(these=THESE.format(message="id"))
DELETE_HEADERS = _DELETE_HEADERS.format(these=OF_THESE)
# What belongs to one recipient of a mail.
OF_A_DELIVERY = {"relay.Attempt": "attempt", "relay.Report": "report", "relay.Ending": "ending"}
OF_POSITIONS = "SELECT " + ", ".join(
    _OF_POSITIONS.format(table=table) for table in OF_A_DELIVERY.values()
)

# Texts of the log that may name an address which neither sent nor received the mail.
_SAID = """WHERE organisation_id = %(organisation)s AND accepted_at <= %(until)s
    AND lower({column}) ~ %(pattern)s"""
_EMPTY = "UPDATE relay_{table} SET {column} = '' {said}"
_DELETE = "DELETE FROM relay_messageheader {said}"
MENTIONS = {
    model: _EMPTY.format(table=table, column=column, said=_SAID.format(column=column))
    for model, table, column in (
        ("relay.Message", "message", "subject"),
        ("relay.Delivery", "delivery", "display_name"),
        ("relay.Attempt", "attempt", "reply"),
        ("relay.Report", "report", "reply"),
    )
}
DELETE_MENTIONS = _DELETE.format(said=_SAID.format(column="header"))


@dataclass(slots=True)
class Tally:
    """How many rows of each table were deleted, emptied, and made to lead to nobody."""

    removed: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    unlinked: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.removed += other.removed
        self.changed += other.changed
        self.unlinked += other.unlinked

    def as_json(self) -> dict[str, dict[str, int]]:
        return {name: dict(getattr(self, name)) for name in ("removed", "changed", "unlinked")}

    @classmethod
    def from_json(cls, values: dict[str, dict[str, int]]) -> Tally:
        return cls(**{name: Counter(counts) for name, counts in values.items()})


def erase_piece(piece: Piece, whom: Correspondent) -> Tally:
    """Empty some messages of the address, and what is logged of them."""
    values = {**piece.values, "written": list(whom.written)}
    tally = Tally()
    own = ask(BLANK_DELIVERIES, values)
    tally.changed["relay.Delivery"] = len(own)
    # Of mail that the address sent, all of its recipients were its correspondents.
    led = ask(DELIVERIES, values) if piece.is_sent else own
    tally.unlinked["relay.Delivery"] = len(led) - len(own)
    tally.removed["relay.MessageHeader"] = _done(DELETE_HEADERS, values)
    if piece.is_sent:
        tally.changed["relay.Message"] = _done(BLANK_MESSAGES, values)
    else:
        tally.unlinked["relay.Message"] = len({row[1] for row in own})
    tally.unlinked.update(_of_deliveries(led, values))
    return _without_nothing(tally)


def _of_deliveries(led: list[Any], values: dict[str, Any]) -> dict[str, int]:
    """Return how many rows of each table belong to these recipients of mails."""
    at, ids, positions = ([row[column] for row in led] for column in range(3))
    keys = {"position_at": at, "position_ids": ids, "positions": positions}
    (counts,) = ask(OF_POSITIONS, values | keys)
    return dict(zip(OF_A_DELIVERY, counts, strict=True))


def erase_mentions(whom: Correspondent) -> Tally:
    """Empty the log's own texts wherever they name the address; goes through all of the log."""
    (needle,) = needles(whom.sought)
    values = {
        "organisation": whom.organisation_id,
        "until": whom.until,
        "pattern": needle.pattern(needle.folded),
    }
    tally = Tally()
    tally.removed["relay.MessageHeader"] = _done(DELETE_MENTIONS, values)
    for model, statement in MENTIONS.items():
        tally.changed[model] = _done(statement, values)
    return _without_nothing(tally)


def erase_others(whom: Correspondent) -> Tally:
    """Do what the inventory says to the rows outside the log."""
    tally = Tally()
    for entry in other_entries():
        for path in entry.for_subject(Whose.CORRESPONDENT):
            rows = rows_of(entry, whom, path)
            if path.eraser is Eraser.BLANK:
                meta = subjects.model_of(entry)._meta
                empty = {name: _empty(meta.get_field(name)) for name in path.fields}
                tally.changed[entry.model] += rows.exclude(**empty).update(**empty)
            elif path.eraser is Eraser.ROW:
                tally.removed[entry.model] += rows.delete()[1].get(entry.model, 0)
    return _without_nothing(tally)


def rows_of(entry: Entry, whom: Correspondent, *paths: SubjectPath) -> QuerySet[Any]:
    """Return the organisation's own rows that lead to the address, however it is spelt."""
    found = [subjects.rows_by(entry, subject, *paths) for subject in whom.subjects]
    rows = cast(TenantQuerySet[Any], reduce(or_, found)).for_organisation(whom.organisation_id)
    names = {item.name for item in subjects.model_of(entry)._meta.fields}
    return rows.filter(accepted_at__lte=whom.until) if "accepted_at" in names else rows


def kept(whom: Correspondent) -> list[tuple[Entry, Eraser, int]]:
    """Return the tables of which rows stay, why, and how many."""
    found = []
    for entry in other_entries():
        for eraser in KEEPING:
            paths = entry.for_subject(Whose.CORRESPONDENT)
            staying = [path for path in paths if path.eraser is eraser]
            if staying and (count := rows_of(entry, whom, *staying).count()):
                found.append((entry, eraser, count))
    return found


def _empty(item: Any) -> str | None:
    return None if item.null else ""


def _done(statement: str, values: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def _without_nothing(tally: Tally) -> Tally:
    return Tally(+tally.removed, +tally.changed, +tally.unlinked)
