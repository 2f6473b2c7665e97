# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the database holds of one person, table by table, without anything of anybody else.

Reads the tables that the inventory names, by the paths that it names. What belongs to another
person becomes a pseudonym that is good in one package only (GDPR article 15(4)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

from django.db.models import ForeignKey, Model, Q, QuerySet, UUIDField

from gdpr import acquaintances, inventory, redaction, subjects
from gdpr.redaction import Pseudonyms, Redactor, Value
from gdpr.registry import Access, Entry, Eraser, Personal, SubjectPath, Whose
from gdpr.subjects import Subject

PAGE_ROWS = 1000

Row: TypeAlias = dict[str, Value]

# A number says nothing to the person; the name of an organisation they belong to is no secret.
NAMED_BY_WORDS = frozenset({"accounts.Organisation"})


@dataclass(frozen=True)
class Extract:
    """A reader of one person's rows. `portable` leaves out what article 20 does not cover."""

    subject: Subject
    portable: bool = False
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    @cached_property
    def redactor(self) -> Redactor:
        """What hides whoever is named beside the person; who that may be is read once."""
        return Redactor(acquaintances.around(self.subject), self.pseudonyms)

    def entries(self) -> list[Entry]:
        """Return the tables that can hold something of the person."""
        entries = inventory.entries_about(Whose.PERSON)
        return [entry for entry in entries if self.fields(entry) or self.withheld(entry)]

    def fields(self, entry: Entry) -> list[Personal]:
        """Return the fields of a table of which a copy is given."""
        given = [item for item in entry.personal if item.access is Access.GIVEN]
        return [item for item in given if item.portable or not self.portable]

    def withheld(self, entry: Entry) -> list[Personal]:
        """Return the fields that are named as kept and not given."""
        named = [item for item in entry.personal if item.access is not Access.GIVEN]
        return [] if self.portable else named

    def count(self, entry: Entry) -> int:
        return subjects.rows(entry, self.subject).count()

    def pages(self, entry: Entry) -> Iterator[list[Row]]:
        """Yield all rows of a table, up to PAGE_ROWS at a time."""
        names = [item.name for item in self.fields(entry)]
        if not names:
            return
        for rows, given in self._sources(entry, names):
            for page in _paged(rows.order_by("pk").iterator(chunk_size=PAGE_ROWS)):
                yield self._values(entry, page, given)

    def _sources(self, entry: Entry, names: list[str]) -> Iterator[tuple[QuerySet[Any], list[str]]]:
        """Yield the person's own rows with all fields, then those that only mention them."""
        paths = entry.for_subject(Whose.PERSON)
        own = [path for path in paths if not _mentions(path)]
        all_rows = subjects.model_of(entry)._default_manager.all()
        seen = Q(pk__in=[])
        for path in own:
            seen |= subjects.condition(entry, path, self.subject)
        if own:
            yield all_rows.filter(seen), names
        for path in paths:
            given = [name for name in names if name in path.fields]
            if _mentions(path) and given:
                found = subjects.condition(entry, path, self.subject)
                yield all_rows.filter(found).exclude(seen), given
                seen |= found

    def _values(self, entry: Entry, page: list[Model], names: list[str]) -> list[Row]:
        table = _Table(entry, self, page, names)
        return [table.row(row) for row in page]


def _mentions(path: SubjectPath) -> bool:
    """Say whether a path leads to rows of others that name the person in some fields."""
    if path.eraser is Eraser.BLANK:
        return path.lookup in path.fields
    return bool(path.fields)


def _paged(rows: Iterator[Model]) -> Iterator[list[Model]]:
    while page := list(islice(rows, PAGE_ROWS)):
        yield page


class _Table:
    """Turns the rows of one page into values, asking the database once for the whole page."""

    def __init__(self, entry: Entry, extract: Extract, page: list[Model], names: list[str]) -> None:
        self._entry = entry
        self._extract = extract
        columns = subjects.model_of(entry)._meta
        self._fields: list[Any] = [columns.get_field(name) for name in names]
        self._words = {
            item.name: _words(item, page) for item in self._fields if _is_named_by_words(item)
        }
        self._others = _numbers_of_others(self._numbers(page), extract.subject)

    def row(self, row: Model) -> Row:
        return {item.name: self._value(item, row) for item in self._fields}

    def _value(self, item: Any, row: Model) -> Value:
        raw = item.value_from_object(row)
        if item.name in self._words:
            return self._words[item.name].get(raw)
        value, path = plain(raw), f"{self._entry.model}.{item.name}"
        personal = inventory.personal(self._entry.model, item.name)
        for inside, reference in personal.of if personal else ():
            if not reference or getattr(row, f"{reference}_id") != self._extract.subject.person_id:
                value = self._without(value, inside.split(".") if inside else [], path)
        return self._extract.redactor.clean(value, path, self._others)

    def _without(self, value: Value, inside: list[str], path: str) -> Value:
        """Return a value with pseudonyms for what stands at a place of it about another person."""
        if not inside:
            return self._pseudonymous(value, path)
        if not isinstance(value, dict) or inside[0] not in value:
            return value
        return value | {inside[0]: self._without(value[inside[0]], inside[1:], path)}

    def _pseudonymous(self, value: Value, path: str) -> Value:
        # Whoever has their address there is the person.
        if isinstance(value, dict) and self._extract.subject.address not in value.values():
            return {name: self._pseudonymous(item, path) for name, item in value.items()}
        if not value or not isinstance(value, str):
            return value
        return self._extract.redactor.whole(value, path)

    def _numbers(self, page: list[Model]) -> set[str]:
        """Return every UUID in the page that could be somebody's."""
        kept = [item for item in self._fields if item.name not in self._words]
        texts = (str(item.value_from_object(row)) for row in page for item in kept)
        return {number for text in texts for number in redaction.numbers_in(text)}


def plain(value: object) -> Value:
    """Return a value of a column as JSON knows it, times in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def _is_named_by_words(item: Any) -> bool:
    """Say whether a reference is given as the name of what it refers to."""
    if not isinstance(item, ForeignKey):
        return False
    label = item.related_model._meta.label
    personal = {entry.model for entry in inventory.personal_entries()}
    return label in NAMED_BY_WORDS or label not in personal


def _words(item: Any, page: Iterable[Model]) -> dict[object, str]:
    keys = {item.value_from_object(row) for row in page} - {None}
    return {row.pk: str(row) for row in item.related_model._default_manager.filter(pk__in=keys)}


def _numbers_of_others(numbers: set[str], subject: Subject) -> set[str]:
    """Return those of the numbers that stand for another person, by the inventory's word."""
    if not numbers:
        return set()
    found: set[str] = set()
    for entry in inventory.entries_about(Whose.PERSON):
        if _numbers_a_person(entry):
            theirs = subjects.model_of(entry)._default_manager.filter(pk__in=numbers)
            own = subjects.rows(entry, subject).values("pk")
            found |= set(map(str, theirs.exclude(pk__in=own).values_list("pk", flat=True)))
    return found


def _numbers_a_person(entry: Entry) -> bool:
    """Say whether the rows of a table have a random number that stands for somebody."""
    key = subjects.model_of(entry)._meta.pk
    return isinstance(key, UUIDField) and inventory.personal(entry.model, key.name) is not None
