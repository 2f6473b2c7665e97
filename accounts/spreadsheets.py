# SPDX-License-Identifier: AGPL-3.0-or-later
"""CSV (RFC 4180) that every spreadsheet opens, and takes for text alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# Before the first line: without the mark, spreadsheets take the octets for another encoding.
MARK = "\ufeff".encode()
# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet carries out, without NUL: it ends a file."""
    text = text.replace("\0", "")
    return f"'{text}" if text.startswith(FORMULA) else text


def text(cell: str) -> str:
    """Return the text that cell() was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines of a file."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
