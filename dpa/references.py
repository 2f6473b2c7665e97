# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the texts refer to, written as each language writes it: articles, clauses, annexes.

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
    chapter: str = ""

    def written(self, language: str) -> str:
        if language == "da":
            if self.chapter:
                return f"kapitel {self.chapter}"
            return f"artikel {self.number}" + (f", stk. {self.paragraph}" if self.paragraph else "")
        if self.chapter:
            return f"Chapter {self.chapter}"
        return f"Article {self.number}" + (f"({self.paragraph})" if self.paragraph else "")


ARTICLES = {
    "contract": Article(28, 3),
    "processor": Article(28),
    "special": Article(9),
    "criminal": Article(10),
    "rights": Article(chapter="III"),
    "transfers": Article(chapter="V"),
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
    "da": {
        "regulation": "Europa-Parlamentets og Rådets forordning (EU) 2016/679",
        "signature": "artikel 3, nr. 10, i forordning (EU) nr. 910/2014",
    },
    "en": {
        "regulation": "Regulation (EU) 2016/679 of the European Parliament and of the Council",
        "signature": "Article 3(10) of Regulation (EU) No 910/2014",
    },
}

ANNEXES = ("processing", "subprocessors", "security")
_POINT = {"da": "punkt", "en": "clause"}
_ANNEX = {"da": "Bilag", "en": "Appendix"}


def laws(language: str) -> dict[str, str]:
    return ACTS[language] | {key: law.written(language) for key, law in ARTICLES.items()}


def points(language: str, numbers: Mapping[str, str]) -> dict[str, str]:
    """Return how each named point is referred to."""
    return {key: f"{_POINT[language]} {number}" for key, number in numbers.items()}


def annexes(language: str) -> dict[str, str]:
    """Return how each annex is referred to; they are numbered in the order of ANNEXES."""
    return {key: f"{_ANNEX[language]} {number}" for number, key in enumerate(ANNEXES, start=1)}
