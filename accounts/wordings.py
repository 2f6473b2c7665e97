# SPDX-License-Identifier: AGPL-3.0-or-later
"""What people consent to, word for word, in every version that was ever shown.

Not in the catalogues: a consent is to the words that stood there, and its row holds their digest
(GDPR article 7(1)). A version is never changed; other words are a new version, and whoever said
yes to an older one has said yes to that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from accounts.models import Consent

Purpose = Consent.Purpose


@dataclass(frozen=True, slots=True)
class Wording:
    """One version, in each language of the pages."""

    version: int
    da: str
    en: str

    def text(self, language: str) -> str:
        """Return the words; raises AttributeError for a language that the pages do not have."""
        words: str = getattr(self, language)
        return words

    def digest(self, language: str) -> str:
        return hashlib.sha256(self.text(language).encode()).hexdigest()


# Oldest first.
WORDINGS: dict[Purpose, tuple[Wording, ...]] = {
    Purpose.NEWSLETTER: (
        Wording(
            version=1,
            da=(
                "Ja tak, send mig Brevdues nyhedsbrev om nye funktioner, drift og"
                " databeskyttelse på min e-mailadresse. Jeg kan til enhver tid sige nej tak igen."
            ),
            en=(
                "Yes, send me Brevdue's newsletter about new features, operations and data"
                " protection to my e-mail address. I can say no again at any time."
            ),
        ),
    ),
    Purpose.TRACKING: (
        Wording(
            version=1,
            da=(
                "Ja tak, I må måle, om jeg åbner nyhedsbrevet, og hvilke links i det jeg følger,"
                " for at gøre det bedre. Jeg får det også uden, og jeg kan sige nej tak igen."
            ),
            en=(
                "Yes, you may measure whether I open the newsletter and which of its links I"
                " follow, to make it better. I get it without this too, and can say no again."
            ),
        ),
    ),
}


def current(purpose: Purpose) -> Wording:
    """Return the version that is shown now."""
    return WORDINGS[purpose][-1]


def of_version(purpose: Purpose, version: int) -> Wording:
    """Return a version; raises LookupError when there never was one of that number."""
    found = [one for one in WORDINGS[purpose] if one.version == version]
    if not found:
        raise LookupError(f"no version {version} of {purpose}")
    return found[0]
