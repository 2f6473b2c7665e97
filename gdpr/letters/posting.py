# SPDX-License-Identifier: AGPL-3.0-or-later
"""A letter as a mail."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.emails import Enclosure, to_address
from gdpr.letters.filling import Filled


def letter(
    address: str, language: str, filled: Filled, enclosures: Sequence[Enclosure] = ()
) -> None:
    """Post a letter of any kind: its words are in it, and the template adds none."""
    to_address("gdpr/letter", address, language, {"letter": filled}, enclosures=enclosures)
