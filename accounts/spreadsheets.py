# SPDX-License-Identifier: AGPL-3.0-or-later
"""CSV (RFC 4180) that every spreadsheet opens, and takes for text alone."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

# Before the first line: without the mark, spreadsheets take the octets for another encoding.
MARK = "\ufeff".encode()
# What a spreadsheet takes for the beginning of a formula; some take full-width signs as well.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where a spreadsheet of another country sees the next cell begin, and what a formula begins with.
_NEXT_CELL = re.compile(r"""([;\t\r\n]["' ]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
_GUARDED = re.compile(r"""([;\t\r\n]["' ]*)'(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet carries out, without NUL: it ends a file.

    A file with commas is one cell a line where semicolons divide, and the other way round: so what
    comes after a semicolon, a tab or an end of line is guarded as a beginning is.
    """
    text = _NEXT_CELL.sub(r"\1'", text.replace("\0", ""))
    return f"'{text}" if _is_begun(text) else text


def text(cell: str) -> str:
    """Return the text that cell() was given."""
    plain = cell[1:] if cell.startswith("'") and _is_begun(cell) else cell
    return _GUARDED.sub(r"\1", plain)


def _is_begun(text: str) -> bool:
    """Whether it begins as a formula; a guard before it may be the text's own."""
    return text.lstrip("'").startswith(FORMULA)


def lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines of a file."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
