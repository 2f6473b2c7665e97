# SPDX-License-Identifier: AGPL-3.0-or-later
"""Words and facts become a letter, or nothing does: an empty place is a fault, never a blank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.refusals import Refused
from gdpr.letters.kinds import FACTS_OF, Block, Kind, Part, Style, facts_in

Facts = Mapping[str, str]

# What staff are told of; a fact that is not here is called by its name.
CALLED: dict[str, str | Promise] = {
    "operator": _("the operator's name (OPERATOR_NAME)"),
    "operator_address": _("the operator's address (OPERATOR_ADDRESS)"),
    "operator_postcode": _("the operator's postcode (OPERATOR_POSTCODE)"),
    "operator_city": _("the operator's city (OPERATOR_CITY)"),
    "company_number": _("the operator's company number (OPERATOR_COMPANY_NUMBER)"),
    "contact": _("who answers about personal data (PRIVACY_CONTACT)"),
    "privacy_email": _("the address for questions about personal data (PRIVACY_EMAIL)"),
    "authority": _("the authority's name (AUTHORITY_NAME)"),
    "authority_address": _("the authority's address (AUTHORITY_ADDRESS)"),
    "authority_site": _("the authority's web page (AUTHORITY_URL)"),
    "reasons": _("the reasons"),
    "evidence": _("what shows it"),
    "ground": _("the ground"),
    "fee": _("the fee"),
    "question": _("the question"),
    "day": _("the day"),
    "first": _("the first answer"),
    Part.COURT.value: _("the way to the courts"),
    Part.SECOND_LOOK.value: _("the second look"),
}


class Incomplete(Refused):
    """A letter lacks something; `missing` has the names. Nothing was sent and nothing moved."""

    text: Promise = _("The letter is not complete, so nothing was sent. What is missing: %(what)s.")

    def __init__(self, missing: Iterable[str]) -> None:
        self.missing = frozenset(missing)
        super().__init__(*sorted(self.missing))

    def __str__(self) -> str:
        called = (str(CALLED.get(name, name)) for name in sorted(self.missing))
        return str(self.text) % {"what": ", ".join(called)}


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A block as it is read; a LINK leads to `url`."""

    text: str
    style: Style
    url: str = ""

    @property
    def plain(self) -> str:
        """The same for a mail that is text alone."""
        return f"{self.text}\n{self.url}" if self.url else self.text


@dataclass(frozen=True, slots=True)
class Filled:
    """A complete letter in one language."""

    title: str
    subject: str
    paragraphs: tuple[Paragraph, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(paragraph.plain for paragraph in self.paragraphs)


def fill(kind: Kind, facts: Facts, language: str) -> Filled:
    """Return the letter in a language. Raises Incomplete."""
    with translation.override(language):
        blocks = [block for block in kind.blocks if _is_told(block, facts)]
        missing = frozenset([*_empty(kind, blocks, facts), *_lacking(kind, blocks)])
        if missing:
            raise Incomplete(missing)
        return Filled(
            title=str(kind.title),
            subject=str(kind.subject) % facts,
            paragraphs=tuple(_paragraph(block, facts) for block in blocks),
        )


def _is_told(block: Block, facts: Facts) -> bool:
    return not block.only_with or bool(facts.get(block.only_with))


def _empty(kind: Kind, blocks: Iterable[Block], facts: Facts) -> Iterator[str]:
    """Yield the facts that the letter names and that are not given."""
    named = facts_in(kind.subject).union(*(block.facts for block in blocks))
    yield from (name for name in named if not facts.get(name, "").strip())


def _lacking(kind: Kind, blocks: Iterable[Block]) -> Iterator[str]:
    """Yield the parts that the letter lacks, and what their words should name and do not."""
    for part in kind.demands:
        words = [block for block in blocks if block.part is part and str(block.words).strip()]
        if not words:
            yield part.value
        yield from FACTS_OF[part].difference(*(block.facts for block in words))


def _paragraph(block: Block, facts: Facts) -> Paragraph:
    url = facts[block.leads_to] if block.leads_to else ""
    return Paragraph(str(block.words) % facts, block.style, url)
