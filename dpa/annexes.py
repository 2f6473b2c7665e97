# SPDX-License-Identifier: AGPL-3.0-or-later
"""The three annexes: which sections they have, and which tables stand in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import date_format

from accounts.countries import country_name
from dpa.texts import Block, Passage, Text

# Measures that the service enforces, and those that only its operator can vouch for.
ENFORCED = (
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
STATED = ("malware", "firewall", "remote", "staff")


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
            Annex(key, name, self.text.blocks[f"annex.{key}"].title, tuple(sections[key]))
            for key, name in self.values["annex"].items()
        )

    def label(self, key: str) -> str:
        return self.text.blocks[f"label.{key}"].title

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
        head = tuple(self.label(key) for key in ("where", "data", "kept"))
        rows = tuple(
            ((row["title"],), tuple(row["data"]), (row["kept"],))
            for row in self.values["processing"]
        )
        return Table(head, rows)

    def _subprocessors(self) -> Iterator[Section]:
        rows = self.values["subprocessors"]
        cards = tuple(self._subprocessor(row) for row in rows)
        yield self._section("subprocessors.words" if rows else "subprocessors.none", cards=cards)

    def _subprocessor(self, row: Mapping[str, Any]) -> Card:
        """Say of a sub-processor what EDPB Opinion 22/2024 asks for, and the terms of its work."""
        values = {
            "company_number": row["company_number"] or self.label("not_given"),
            "address": row["address"],
            "country": country_name(row["country"], self.text.language),
            "contact": row["contact"],
            "subject": ", ".join(row["subject"]),
            "purpose": ", ".join(row["purpose"]),
            "duration": self._duration(row["duration"]),
            "data": ", ".join(row["data"]),
            "persons": ", ".join(row["persons"]),
            "transfer": row["transfer"],
            "chain": self._chain(row),
        }
        return Card(row["name"], lines=tuple((self.label(key), values[key]) for key in values))

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
        block = self.text.blocks[key]
        return Section(block.title, self._filled(block), table, cards)

    def _card(self, key: str) -> Card:
        block = self.text.blocks[key]
        return Card(block.title, self._filled(block))

    def _filled(self, block: Block) -> tuple[Passage, ...]:
        return tuple(passage.filled(self.values) for passage in block.passages)
