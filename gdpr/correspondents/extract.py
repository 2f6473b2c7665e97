# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation has of one address, row by row, without anybody else's name or address.

Which tables and fields is the inventory's word. Of a mail with several recipients only the row of
the address is given; others become pseudonyms that are good in one package (GDPR article 15(4)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import getaddresses
from functools import cached_property
from typing import Any
from uuid import UUID

from accounts.models import Membership, Organisation
from gdpr import subjects
from gdpr.correspondents import erasers, log
from gdpr.correspondents.addresses import canonical
from gdpr.correspondents.log import Piece
from gdpr.correspondents.whom import LOG, OWN, Correspondent, entries, other_entries
from gdpr.extracts import PAGE_ROWS, Row, plain
from gdpr.redaction import Circle, Known, Pseudonyms, Redactor, Value
from gdpr.registry import Access, Entry, Whose

Found = tuple[Entry, list[Row]]

# Fields of a header that list people (RFC 5322 §3.6, RFC 2369 apart), with their continuations.
_PEOPLE = re.compile(
    r"^((?:resent-)?(?:from|sender|reply-to|to|cc|bcc)|return-path|delivered-to|errors-to"
    r"|disposition-notification-to)[ \t]*:(.*(?:\n[ \t].*)*)",
    re.IGNORECASE | re.MULTILINE,
)
# What a row of these tables has of whom its own path leads to; in other rows it is another's.
NAMING = {"relay.Delivery": ("recipient", "display_name"), "relay.Message": ("sender",)}
WITH_A_MAIL = ("relay.MessageHeader",)
WITH_A_DELIVERY = ("relay.Attempt", "relay.Report", "relay.Ending")


@dataclass
class Extract:
    """A reader of an organisation's rows about one address."""

    whom: Correspondent
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    def entries(self) -> list[Entry]:
        return [entry for entry in entries() if entry.model not in OWN]

    def rows(self) -> Iterator[Found]:
        """Yield tables with some of their rows each, as a package gives them."""
        for piece in log.pieces(self.whom):
            yield from self._of_mails(piece)
        for entry in other_entries():
            if _given(entry):
                rows = erasers.rows_of(entry, self.whom, *entry.for_subject(Whose.CORRESPONDENT))
                for row in rows.order_by("pk").iterator(chunk_size=PAGE_ROWS):
                    yield entry, [self._row(entry, row)]

    def withheld_counts(self) -> Iterator[tuple[Entry, int]]:
        """Yield the tables of which nothing can be given, with how many rows there are."""
        for entry in other_entries():
            if not _given(entry):
                paths = entry.for_subject(Whose.CORRESPONDENT)
                yield entry, erasers.rows_of(entry, self.whom, *paths).count()

    def _of_mails(self, piece: Piece) -> Iterator[Found]:
        """Yield what is logged of some mails, each mail once."""
        by_model = {entry.model: entry for entry in entries() if entry.model in LOG}
        mails = [row for row in _of(by_model["relay.Message"], piece) if self._is_new(row, piece)]
        wanted = {row.id for row in mails}
        found = {"relay.Message": mails}
        positions: set[tuple[UUID, int]] = set()
        for model in ("relay.Delivery", *WITH_A_MAIL, *WITH_A_DELIVERY):
            rows = [row for row in _of(by_model[model], piece) if row.message_id in wanted]
            if model == "relay.Delivery":
                # Of what the address sent, all recipients; of what it received, itself.
                rows = [row for row in rows if piece.is_sent or row.recipient in self.whom.written]
                positions = {(row.message_id, row.position) for row in rows}
            elif model in WITH_A_DELIVERY:
                rows = [row for row in rows if (row.message_id, row.position) in positions]
            found[model] = rows
        for model, rows in found.items():
            yield by_model[model], [self._row(by_model[model], row) for row in rows]

    def _is_new(self, mail: Any, piece: Piece) -> bool:
        """Mail from the address to itself was given with what it sent."""
        return piece.is_sent or mail.sender not in self.whom.written

    def _row(self, entry: Entry, row: Any) -> Row:
        return {name: self._value(entry, row, name) for name in _given(entry)}

    def _value(self, entry: Entry, row: Any, name: str) -> Value:
        item: Any = subjects.model_of(entry)._meta.get_field(name)
        path = f"{entry.model}.{name}"
        if item.is_relation and item.related_model is not None:
            return str(getattr(row, name))
        value = plain(item.value_from_object(row))
        naming = NAMING.get(entry.model, ())
        if name in naming and value and not self._is_own(getattr(row, naming[0])):
            return self._redactor.whole(str(value), path)
        if entry.model == "relay.MessageHeader" and isinstance(value, str):
            value = _PEOPLE.sub(lambda found: self._people(found, path), value)
        return self._redactor.clean(value, path, set())

    def _people(self, found: re.Match[str], path: str) -> str:
        """Return a field that lists people with this one as it stands, the others by pseudonyms."""
        listed = getaddresses([found[2].replace("\n", " ")])
        shown = [self._mailbox(name, address, path) for name, address in listed if address]
        return f"{found[1]}: {', '.join(shown)}"

    def _mailbox(self, name: str, address: str, path: str) -> str:
        if self._is_own(address):
            return f"{name} <{address}>".strip()
        return self._redactor.whole(address, path)

    @cached_property
    def _redactor(self) -> Redactor:
        """Hides addresses of all others, and the people of the organisation by their names too."""
        owner = Organisation.objects.get(pk=self.whom.organisation_id)
        people = Membership.objects.for_organisation(owner.pk).select_related("user")
        others = [Known(row.user.email, row.user.get_full_name(), row.user.phone) for row in people]
        return Redactor(Circle(Known(self.whom.address), others, [owner.name]), self.pseudonyms)

    def _is_own(self, address: str) -> bool:
        return canonical(address) == self.whom.address


def _given(entry: Entry) -> list[str]:
    return [item.name for item in entry.personal if item.access is Access.GIVEN]


def _of(entry: Entry, piece: Piece) -> list[Any]:
    """Return the rows of a table that belong to these messages, in their order."""
    values = piece.values
    key = "id" if entry.model == "relay.Message" else "message_id"
    rows = subjects.model_of(entry)._default_manager.filter(
        **{f"{key}__in": values["ids"], "accepted_at__in": values["at"]}
    )
    return list(rows.order_by("pk"))
