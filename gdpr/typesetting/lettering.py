# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is printed for characters that the fonts have no glyph for, or that show nothing.

PDF/A-3 forbids the empty box (ISO 19005-3, 6.2.11.8), and a sign that turns the direction of
writing must not make a name look like another: both are printed as their number, [U+202E].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set

from fontTools.ttLib import TTFont

from gdpr.typesetting.assets import font_files

BREAKS = frozenset("\t\n\r")
# Control, format, surrogate, private use, unassigned, and the two separators of lines.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def legible(text: str, letters: Set[int]) -> str:
    """Return the text composed (NFC), with what cannot be shown written as [U+XXXX]."""
    composed = unicodedata.normalize("NFC", text)
    strange = {char for char in set(composed) if not _shows(char, letters)}
    if not strange:
        return composed
    pattern = "[" + "".join(map(re.escape, sorted(strange))) + "]"
    return re.sub(pattern, lambda found: f"[U+{ord(found[0]):04X}]", composed)


def letters_of_fonts() -> frozenset[int]:
    """Return the code points that every regular font has, so that none falls back elsewhere."""
    covered = [set(TTFont(path, lazy=True).getBestCmap()) for path in font_files()]
    return frozenset(set.intersection(*covered))


def _shows(char: str, letters: Set[int]) -> bool:
    if char in BREAKS:
        return True
    return ord(char) in letters and unicodedata.category(char) not in UNSEEN
