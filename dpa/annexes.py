# SPDX-License-Identifier: AGPL-3.0-or-later
"""The three annexes: which sections they have, and which tables stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format

from accounts.countries import country_name
from dpa.texts import Block, Passage, Text, fill

# Measures that the service enforces, and those that only its operator can vouch for.
MEASURES = (
    "transport",
    "sealed",
    "people",
    "first_sign_in",
    "password",
    "second_factor",
    "approval",
    "guessing",
    "separation",
    "audit",
    "loss",
    "deletion",
)
STATED = ("malware", "firewall", "backups", "remote", "staff")


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are named by their first cell; a cell has one line or several."""

    head: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], ...], ...]

    @property
    def labelled(self) -> list[list[tuple[str, tuple[str, ...]]]]:
        """Return the rows with each cell's column name beside it."""
        return [list(zip(self.head, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Card:
    """One recipient, or one measure: a name and what is to be said of it."""

    title: str
    passages: tuple[Passage, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    passages: tuple[Passage, ...] = ()
    table: Table | None = None
    cards: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Annex:
    """An annex with how it is referred to, such as "Bilag" and its number."""

    key: str
    name: str
    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes annexes of a text and the values of its places."""

    text: Text
    values: Mapping[str, Any]

    def annexes(self) -> tuple[Annex, ...]:
        sections = {
            "processing": self._processing(),
            "subprocessors": self._subprocessors(),
            "security": self._security(),
        }
        return tuple(
            Annex(key, name, self.words(f"annex.{key}"), tuple(sections[key]))
            for key, name in self.values["annex"].items()
        )

    def label(self, key: str) -> str:
        return self.words(f"label.{key}")

    def words(self, key: str) -> str:
        """Return what the text calls something."""
        return fill(self.text.block(key).title, self.values)

    def _processing(self) -> Iterator[Section]:
        for key in ("subject", "nature", "duration"):
            yield self._section(f"processing.{key}")
        yield self._section("processing.types", self._retention())
        for key in ("content", "log", "persons"):
            yield self._section(f"processing.{key}")
        alone = "" if self.values["subprocessors"] else "_alone"
        yield self._section(f"processing.places{alone}")
        yield self._section("processing.organisation")

    def _retention(self) -> Table:
        head = tuple(self.label(key) for key in ("where", "data", "persons", "kept"))
        rows = tuple(
            (
                (self.words(_key(row)),),
                tuple(self._fields(row)),
                tuple(self._persons(row)),
                (self._kept(row),),
            )
            for row in self.values["processing"]
        )
        return Table(head, rows)

    def _fields(self, row: Mapping[str, Any]) -> list[str]:
        return [self.words(f"{_key(row)}.{name}") for name in row["fields"]]

    def _persons(self, row: Mapping[str, Any]) -> list[str]:
        """Return whose data they are: what the text enumerates, kind by kind."""
        return self.text.block(_key(row)).passages[0].words.split(", ")

    def _kept(self, row: Mapping[str, Any]) -> str:
        words = self.text.block(_key(row)).passages[1].words
        return fill(words, {**self.values, "kept": row["kept"]})

    def _subprocessors(self) -> Iterator[Section]:
        rows = self.values["subprocessors"]
        cards = tuple(self._subprocessor(row) for row in rows)
        yield self._section("subprocessors.words" if rows else "subprocessors.none", cards=cards)

    def _subprocessor(self, row: Mapping[str, Any]) -> Card:
        """Say of a sub-processor what EDPB Opinion 22/2024 asks for, and the terms of its work."""
        tables = [table for table in self.values["processing"] if table["table"] in row["tables"]]
        persons = dict.fromkeys(kind for table in tables for kind in self._persons(table))
        values = {
            "company_number": row["company_number"] or self.label("not_given"),
            "address": row["address"],
            "country": country_name(row["country"], self.text.language),
            "contact": row["contact"],
            "subject": self._listed("service", row["services"]),
            "purpose": self._listed("purpose", row["purposes"]),
            "duration": self._duration(row["duration"]),
            "data": "; ".join(self.words(_key(table)) for table in tables),
            "persons": "; ".join(persons),
            "transfer": self.words(f"transfer.{row['transfer']}"),
            "chain": self._chain(row),
        }
        return Card(row["name"], lines=tuple((self.label(key), values[key]) for key in values))

    def _listed(self, kind: str, keys: Iterable[str]) -> str:
        return "; ".join(self.words(f"{kind}.{key}") for key in keys)

    def _duration(self, until: str) -> str:
        return date_format(date.fromisoformat(until)) if until else self.label("lasting")

    def _chain(self, row: Mapping[str, Any]) -> str:
        by = row["engaged_by"] or self.values["processor"]["name"]
        return f"{row['level']} ({self.label('engaged_by')} {by})"

    def _security(self) -> Iterator[Section]:
        enforced = tuple(self._card(f"measure.{key}") for key in self.values["measures"])
        yield self._section("security.enforced", cards=enforced)
        statements = self.values["statements"]
        if statements:
            cards = tuple(self._card(f"statement.{key}") for key in statements["measures"])
            yield self._section("security.stated", cards=cards)
        else:
            yield self._section("security.unstated")

    def _section(
        self, key: str, table: Table | None = None, cards: tuple[Card, ...] = ()
    ) -> Section:
        block = self.text.block(key)
        return Section(block.title, self._filled(block), table, cards)

    def _card(self, key: str) -> Card:
        block = self.text.block(key)
        return Card(block.title, self._filled(block))

    def _filled(self, block: Block) -> tuple[Passage, ...]:
        return tuple(passage.filled(self.values) for passage in block.passages)


def _key(row: Mapping[str, Any]) -> str:
    """Return what a text calls a table: lower case, as every key of its pieces."""
    return f"data.{row['table'].lower()}"
