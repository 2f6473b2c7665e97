# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the texts refer to, written as a Danish text writes it: articles, clauses, annexes.

Numbers of the law stand here and nowhere in the texts, so that a guard can tell a figure that was
typed from one that was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Article:
    """An article of the GDPR, of one of its chapters when `chapter` is given instead."""

    number: int = 0
    paragraph: int = 0
    letter: str = ""
    chapter: str = ""

    def __str__(self) -> str:
        if self.chapter:
            return f"kapitel {self.chapter}"
        paragraph = f", stk. {self.paragraph}" if self.paragraph else ""
        letter = f", litra {self.letter}" if self.letter else ""
        return f"artikel {self.number}{paragraph}{letter}"


ARTICLES = {
    "contract": Article(28, 3),
    "processor": Article(28),
    "special": Article(9),
    "criminal": Article(10),
    "rights": Article(chapter="III"),
    "transfers": Article(chapter="V"),
    "adequacy": Article(45),
    "standard_clauses": Article(46, 2, "c"),
    "records": Article(30, 2),
    "security": Article(32),
    "breach_authority": Article(33),
    "breach_subjects": Article(34),
    "assessment": Article(35),
    "consultation": Article(36),
    "compensation": Article(82),
}
# The GDPR itself, and eIDAS article 3(10): what an electronic signature is.
ACTS = {
    "regulation": "Europa-Parlamentets og Rådets forordning (EU) 2016/679",
    "signature": "artikel 3, nr. 10, i forordning (EU) nr. 910/2014",
}
ANNEXES = ("processing", "subprocessors", "security")


def laws() -> dict[str, str]:
    return ACTS | {key: str(article) for key, article in ARTICLES.items()}


def points(numbers: Mapping[str, str]) -> dict[str, str]:
    """Return how each named point is referred to."""
    return {key: f"punkt {number}" for key, number in numbers.items()}


def annex_names() -> dict[str, str]:
    """Return how each annex is referred to; they are numbered in the order of ANNEXES."""
    return {key: f"Bilag {number}" for number, key in enumerate(ANNEXES, start=1)}
