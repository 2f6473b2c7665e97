# SPDX-License-Identifier: AGPL-3.0-or-later
"""An agreement as it is read: text and facts put together, the same for the page and the PDF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import override

from accounts.countries import country_name
from dpa import facts as facts_of
from dpa.annexes import Annex, Builder
from dpa.facts import Facts
from dpa.texts import Clause, Point, Text, fill, load

Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Party:
    """A party with its role, how it is called in what follows, and its particulars."""

    role: str
    called: str
    name: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class Reading:
    """Every word of an agreement in its order. `words` are the headings, by key."""

    language: str
    words: Mapping[str, str]
    controller: Party
    processor: Party
    definitions: tuple[tuple[str, str], ...]
    clauses: tuple[Clause, ...]
    annexes: tuple[Annex, ...]
    signatory: Lines
    seal: Lines
    identity: Lines


def read(facts: Facts) -> Reading:
    """Compose the agreement that these facts fill. Raises texts.TextFaulty, OSError."""
    text = load(facts["text"]["language"], facts["text"]["version"])
    builder = Builder(text, facts_of.values(facts, text))
    with override(text.language):
        return Reading(
            language=text.language,
            words=_headings(text),
            controller=_party(builder, facts, "controller"),
            processor=_party(builder, facts, "processor"),
            definitions=tuple(
                (term, fill(meaning, builder.values)) for term, meaning in text.definitions
            ),
            clauses=tuple(_clause(clause, builder) for clause in text.clauses),
            annexes=builder.annexes(),
            signatory=_signatory(builder, facts),
            seal=_lines(
                builder,
                signatory=facts["processor"]["name"],
                signature=text.blocks["document.seal"].title,
            ),
            identity=_identity(builder, facts),
        )


def _headings(text: Text) -> dict[str, str]:
    own = {key: block for key, block in text.blocks.items() if key.startswith("document.")}
    return {key.partition(".")[2]: block.title for key, block in own.items()}


def _clause(clause: Clause, builder: Builder) -> Clause:
    points = (
        Point(point.number, point.key, point.passage.filled(builder.values))
        for point in clause.points
    )
    return Clause(clause.number, clause.title, tuple(points))


def _party(builder: Builder, facts: Facts, role: str) -> Party:
    party, contact = facts[role], facts["contacts"][role]
    titles = {key: block.title for key, block in builder.text.blocks.items()}
    town = f"{party['postcode']} {party['city']}".strip()
    place = ", ".join(part for part in (party["address"], town) if part)
    country = country_name(party["country"], builder.text.language)
    return Party(
        role=titles[f"document.{role}"],
        called=titles[f"document.called_{role}"],
        name=party["name"],
        lines=_lines(
            builder,
            name=party["name"],
            company_number=party["company_number"] or builder.label("not_given"),
            address=place or builder.label("not_given"),
            country=country,
            contact=contact["name"],
            email=contact["email"],
            phone=contact["phone"],
        ),
    )


def _signatory(builder: Builder, facts: Facts) -> Lines:
    person = facts["signatory"]
    title = person["title"] or builder.label("not_given")
    return _lines(builder, signatory=person["name"], title=title)


def _identity(builder: Builder, facts: Facts) -> Lines:
    return _lines(
        builder,
        number=str(facts["number"]),
        identifier=facts["id"],
        issued=facts_of.issued_on(facts),
        version=f"{facts['text']['version']} ({facts['text']['language']})",
        text_hash=facts["text"]["digest"],
        terms_hash=facts_of.terms_digest(facts),
    )


def _lines(builder: Builder, **values: str) -> Lines:
    return tuple((builder.label(key), value) for key, value in values.items() if value)
