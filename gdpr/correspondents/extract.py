# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation has of one address, row by row, without anybody else's name or address.

Which tables and fields is the inventory's word. Of a mail with several recipients only the row of
the address is given; others become pseudonyms that are good in one package (GDPR article 15(4)).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
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
from relay import logfields
from relay.models import Delivery, MessageHeader

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
                    yield entry, [self._row(entry, row, {})]

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
        named: dict[UUID, list[Known]] = defaultdict(list)
        positions: set[tuple[UUID, int]] = set()
        for model in ("relay.Delivery", *WITH_A_MAIL, *WITH_A_DELIVERY):
            rows = [row for row in _of(by_model[model], piece) if row.message_id in wanted]
            for row in rows:
                named[row.message_id] += _named(row)
            if model == "relay.Delivery":
                # Of what the address sent, all recipients; of what it received, itself.
                rows = [row for row in rows if piece.is_sent or row.recipient in self.whom.written]
                positions = {(row.message_id, row.position) for row in rows}
            elif model in WITH_A_DELIVERY:
                rows = [row for row in rows if (row.message_id, row.position) in positions]
            found[model] = rows
        redactors = {mail: self._knowing(people) for mail, people in named.items() if people}
        for model, rows in found.items():
            yield by_model[model], [self._row(by_model[model], row, redactors) for row in rows]

    def _is_new(self, mail: Any, piece: Piece) -> bool:
        """Mail from the address to itself was given with what it sent."""
        return piece.is_sent or mail.sender not in self.whom.written

    def _row(self, entry: Entry, row: Any, redactors: dict[UUID, Redactor]) -> Row:
        mail = row.id if entry.model == "relay.Message" else getattr(row, "message_id", None)
        redactor = redactors.get(mail, self._redactor) if mail else self._redactor
        return {name: self._value(entry, row, name, redactor) for name in _given(entry)}

    def _value(self, entry: Entry, row: Any, name: str, redactor: Redactor) -> Value:
        item: Any = subjects.model_of(entry)._meta.get_field(name)
        path = f"{entry.model}.{name}"
        if item.is_relation and item.related_model is not None:
            return str(getattr(row, name))
        value = plain(item.value_from_object(row))
        naming = NAMING.get(entry.model, ())
        if name in naming and value and not self._is_own(getattr(row, naming[0])):
            return redactor.whole(str(value), path)
        if entry.model == "relay.MessageHeader" and isinstance(value, str):
            listed = logfields.shown(value)
            value = _PEOPLE.sub(lambda found: self._people(found, path, redactor), listed)
        return redactor.clean(value, path, set())

    def _people(self, found: re.Match[str], path: str, redactor: Redactor) -> str:
        """Return a field that lists people with this one as it stands, the others by pseudonyms."""
        shown = [
            f"{name} <{address}>".strip()
            if self._is_own(address)
            else redactor.whole(address, path)
            for name, address in _listed(found)
        ]
        return f"{found[1]}: {', '.join(shown)}"

    @cached_property
    def _redactor(self) -> Redactor:
        """Hides addresses of all others, and the people of the organisation by their names too."""
        return self._knowing(())

    def _knowing(self, named: Iterable[Known]) -> Redactor:
        """Return a redactor that knows by their names whom a mail names besides."""
        own = Known(self.whom.address, stands_whole=True)
        return Redactor(Circle(own, [*named, *self._members], [self._owner.name]), self.pseudonyms)

    @cached_property
    def _owner(self) -> Organisation:
        return Organisation.objects.get(pk=self.whom.organisation_id)

    @cached_property
    def _members(self) -> list[Known]:
        rows = Membership.objects.for_organisation(self._owner.pk).select_related("user")
        return [Known(row.user.email, row.user.get_full_name(), row.user.phone) for row in rows]

    def _is_own(self, address: str) -> bool:
        return canonical(address) == self.whom.address


def may_name_others(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the given fields with a customer's own words, where a name may stand that no address
    of the same mail goes with: such a one is nobody's as far as this can tell.
    """
    for entry in entries:
        for item in entry.personal:
            is_somebodys = item.leads or item.name in NAMING.get(entry.model, ())
            if item.customers_words and item.access is Access.GIVEN and not is_somebodys:
                yield f"{entry.model}.{item.name}"


def _named(row: Any) -> Iterator[Known]:
    """Yield whom a row of a mail gives a name, this one among them."""
    if isinstance(row, Delivery):
        people = [(row.display_name, row.recipient)]
    elif isinstance(row, MessageHeader):
        fields = _PEOPLE.finditer(logfields.shown(row.header))
        people = [one for found in fields for one in _listed(found)]
    else:
        people = []
    for name, address in people:
        if name and address:
            yield Known(address, name, stands_whole=True)


def _listed(found: re.Match[str]) -> list[tuple[str, str]]:
    """Return name and address of each mailbox in a field that lists people."""
    mailboxes = getaddresses([found[2].replace("\n", " ")])
    return [(name, address) for name, address in mailboxes if address]


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
