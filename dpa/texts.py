# SPDX-License-Identifier: AGPL-3.0-or-later
"""The texts of agreements, which lie in `dpa/text/<language>/<version>/`: taken apart and hashed.

A text is structure first and words after: what a customer has typed fills a place inside a
paragraph, so that it can never become a clause, a heading or markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.template import Context, Engine

ROOT = Path(__file__).resolve().parent / "text"
# The text that is offered now. An offered text is never edited: a change is a new version.
CURRENT = "1"
SIGNING_TERMS = "1"

_CLAUSE = re.compile(r"(\d+) (\S.*)")
_POINT = re.compile(r"(\d+\.\d+) (?:\[([a-z_]+)\] )?(\S.*)", re.DOTALL)
_BLOCK = re.compile(r"\[([a-z_.]+)\]\n")
# No text holds this character, so it shows that a place was left open.
_MISSING = "\N{SYMBOL FOR SUBSTITUTE FORM TWO}"
_ENGINE = Engine(autoescape=False, string_if_invalid=_MISSING)


class TextFaulty(ValueError):
    """A text is not built as it must be; says where."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph and the items of the list below it, if any; places not yet filled."""

    words: str
    items: tuple[str, ...] = ()

    def filled(self, values: Mapping[str, Any]) -> Passage:
        """Return it with every place filled. Raises TextFaulty for a place without a value."""
        return Passage(fill(self.words, values), tuple(fill(item, values) for item in self.items))


@dataclass(frozen=True, slots=True)
class Point:
    number: str
    key: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class Clause:
    number: str
    title: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A named piece outside the clauses: a title and its paragraphs."""

    title: str
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Text:
    language: str
    version: str
    digest: str
    definitions: tuple[tuple[str, str], ...]
    clauses: tuple[Clause, ...]
    blocks: Mapping[str, Block]

    def block(self, key: str) -> Block:
        """Return a named piece. Raises TextFaulty when the text has no words for it."""
        if key not in self.blocks:
            raise TextFaulty(f"no words for {key} in {self.language}/{self.version}")
        return self.blocks[key]

    @property
    def points(self) -> dict[str, str]:
        """Return the number of each point that others refer to."""
        named = (point for clause in self.clauses for point in clause.points if point.key)
        return {point.key: point.number for point in named}


@lru_cache(maxsize=16)
def load(language: str, version: str = CURRENT) -> Text:
    """Return a text. Raises OSError when there is none, TextFaulty when it is not well built."""
    folder = ROOT / language / version
    return Text(
        language=language,
        version=version,
        digest=digest(language, version),
        definitions=tuple(_definitions((folder / "definitions.txt").read_text())),
        clauses=tuple(_clauses((folder / "clauses.txt").read_text())),
        blocks=_blocks((folder / "annexes.txt").read_text())
        | _blocks((folder / "inventory.txt").read_text()),
    )


def digest(language: str, version: str) -> str:
    """Return the SHA-256 (hex) of a text's files, names included."""
    total = sha256()
    for path in sorted((ROOT / language / version).glob("*.txt")):
        total.update(f"{path.name}\0{sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=16)
def signing_terms(language: str, version: str = SIGNING_TERMS) -> Mapping[str, Block]:
    """Return what a signatory declares: `authority`, and the `terms` of signing electronically."""
    return _blocks(_signing_file(language, version).read_text())


def signing_digest(language: str, version: str = SIGNING_TERMS) -> str:
    """Return the SHA-256 (hex) of the declarations."""
    return sha256(_signing_file(language, version).read_bytes()).hexdigest()


def signing_reference(language: str, version: str = SIGNING_TERMS) -> str:
    """Return which declarations these are, with their checksum: what is shown, posted and kept."""
    return f"{language}/{version}/{signing_digest(language, version)}"


def _signing_file(language: str, version: str) -> Path:
    return ROOT / language / "signing" / f"{version}.txt"


def fill(words: str, values: Mapping[str, Any]) -> str:
    """Return a paragraph with its places filled, plain text. Raises TextFaulty."""
    filled = _ENGINE.from_string(words).render(Context(dict(values), autoescape=False))
    if _MISSING in filled:
        raise TextFaulty(f"a place has no value in: {words[:60]}")
    return filled


def _definitions(source: str) -> Iterator[tuple[str, str]]:
    for part in source.strip().split("\n\n"):
        term, _, meaning = part.partition("\n")
        yield term, " ".join(meaning.split())


def _clauses(source: str) -> Iterator[Clause]:
    title, points = "", list[Point]()
    number = 0
    for part in source.strip().split("\n\n"):
        heading = _CLAUSE.fullmatch(part)
        if heading:
            if number:
                yield Clause(str(number), title, tuple(points))
            number, title, points = number + 1, heading[2], []
            _expect(heading[1], str(number))
        else:
            points.append(_point(part, f"{number}.{len(points) + 1}"))
    yield Clause(str(number), title, tuple(points))


def _point(part: str, expected: str) -> Point:
    found = _POINT.fullmatch(part)
    if found is None:
        raise TextFaulty(f"no number at: {part[:60]}")
    _expect(found[1], expected)
    return Point(found[1], found[2] or "", _passage(found[3]))


def _expect(number: str, expected: str) -> None:
    if number != expected:
        raise TextFaulty(f"{number} stands where {expected} is due")


def _blocks(source: str) -> dict[str, Block]:
    # The pattern's group makes the list: what precedes the first key, key, body, key, body …
    _, *parts = _BLOCK.split(source)
    return {key: _block(body) for key, body in zip(parts[::2], parts[1::2], strict=True)}


def _block(body: str) -> Block:
    title, *passages = body.strip().split("\n\n")
    return Block(title, tuple(_passage(passage) for passage in passages))


def _passage(part: str) -> Passage:
    words, *items = re.split(r"\n- ", part.strip())
    return Passage(" ".join(words.split()), tuple(" ".join(item.split()) for item in items))
