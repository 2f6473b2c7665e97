# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a letter consists of: blocks of words, and the parts that the law demands of its kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from django.utils.functional import Promise

Text: TypeAlias = str | Promise

FACT = re.compile(r"%\((\w+)\)s")


class Part(Enum):
    """What a letter may have to say; the articles are the GDPR's."""

    CONTROLLER = "controller"  # article 13(1)(a)
    SUBJECT_MATTER = "subject-matter"
    REASONS = "reasons"  # article 12(3) and (4)
    GROUND = "ground"  # articles 12(5) and 18(1)
    EVIDENCE = "evidence"  # article 12(5), last sentence: the burden of proof is the controller's
    FEE = "fee"  # article 12(5)(a)
    QUESTION = "question"  # article 12(6)
    DAY = "day"
    AUTHORITY = "authority"  # articles 12(4) and 77
    COURT = "court"  # articles 12(4) and 79
    SECOND_LOOK = "second-look"
    FIRST_ANSWER = "first-answer"


# What the words of a part must name, in every language.
FACTS_OF: dict[Part, frozenset[str]] = {
    Part.CONTROLLER: frozenset(
        {
            "operator",
            "operator_address",
            "operator_postcode",
            "operator_city",
            "company_number",
            "contact",
            "privacy_email",
        }
    ),
    Part.SUBJECT_MATTER: frozenset({"reference", "right", "received"}),
    Part.REASONS: frozenset({"reasons"}),
    Part.GROUND: frozenset({"ground"}),
    Part.EVIDENCE: frozenset({"evidence"}),
    Part.FEE: frozenset({"fee"}),
    Part.QUESTION: frozenset({"question"}),
    Part.DAY: frozenset({"day"}),
    Part.AUTHORITY: frozenset({"authority", "authority_address", "authority_site"}),
    Part.COURT: frozenset(),
    Part.SECOND_LOOK: frozenset({"privacy_email"}),
    Part.FIRST_ANSWER: frozenset({"first"}),
}


class Style(Enum):
    WORDS = "words"
    HEADING = "heading"
    QUOTE = "quote"  # what staff, or the person, have written
    LINK = "link"


def facts_in(words: Text) -> frozenset[str]:
    """Return the names of the facts in a text of the active language."""
    return frozenset(FACT.findall(str(words)))


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph. `words` hold facts as %(name)s; it is left out without the fact `only_with`.

    A LINK leads to the fact named `leads_to`.
    """

    words: Text
    part: Part | None = None
    style: Style = Style.WORDS
    only_with: str = ""
    leads_to: str = ""

    @property
    def facts(self) -> frozenset[str]:
        """Return what the block names in the active language."""
        return facts_in(self.words) | ({self.leads_to} if self.leads_to else set())


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of letter. What `is_sealed` goes as a PDF too and is kept with the request."""

    name: str
    title: Text
    subject: Text
    blocks: tuple[Block, ...]
    demands: frozenset[Part]
    is_sealed: bool = False

    def without(self, part: Part) -> Kind:
        """Return the kind for who cannot be told of one part."""
        blocks = tuple(block for block in self.blocks if block.part is not part)
        return replace(self, blocks=blocks, demands=self.demands - {part})

    @property
    def facts(self) -> frozenset[str]:
        """Return what the kind names in the active language, and what it demands."""
        demanded = (FACTS_OF[part] for part in self.demands)
        return facts_in(self.subject).union(*demanded, *(block.facts for block in self.blocks))
