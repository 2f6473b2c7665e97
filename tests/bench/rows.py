# SPDX-License-Identifier: AGPL-3.0-or-later
"""The table that a benchmark prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = ("name", "ours", "reference", "ratio", "bar", "holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One lane; the columns are text, `figures` are what they were made from."""

    name: str
    ours: str
    reference: str = "-"
    ratio: str = "-"
    bar: str
    holds: bool | None  # None where nothing was compared
    details: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    def cells(self) -> tuple[str, ...]:
        holds = {True: "yes", False: "NO", None: "not run"}[self.holds]
        return self.name, self.ours, self.reference, self.ratio, self.bar, holds


def table(rows: Sequence[Row]) -> str:
    """Return the rows under their headings, and below them what each of them adds."""
    lines = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = [
        " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]
    return "\n".join([*text, *(f"  {detail}" for row in rows for detail in row.details)])
