# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages of a package that a person reads: words for columns, local forms for values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db.models import DateTimeField
from django.template.loader import render_to_string
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from gdpr import archives, deadlines, subjects
from gdpr.archives import Archive
from gdpr.extracts import Row
from gdpr.redaction import Value
from gdpr.registry import Access, Entry, Personal

INDEX = "index.html"
STYLE = Path(__file__).resolve().parent / "assets" / "package.css"


# Why the manifest names a field without its value.
REASONS = {Access.NAMED: "a secret", Access.ELSEWHERE: "handed out in the portal"}


@dataclass(slots=True)
class Table:
    """What a package has of one table: which fields, and how much so far."""

    entry: Entry
    given: list[Personal]
    withheld: list[Personal]
    pages: int = 0
    rows: int = 0

    @property
    def name(self) -> str:
        return self.entry.model.replace(".", "-").lower()

    @property
    def has_secrets(self) -> bool:
        return any(item.access is Access.NAMED for item in self.withheld)

    @property
    def links(self) -> list[tuple[int, str]]:
        """Return the number of every page and where it lies beside INDEX."""
        return [(number, f"pages/{self.name}-{number}.html") for number in range(1, self.pages + 1)]

    def told(self) -> dict[str, Any]:
        """Return the table as the manifest names it."""
        return {
            "table": self.entry.model,
            "title": str(self.entry.title),
            "rows": self.rows,
            "parts": self.pages,
            "fields": {item.name: str(item.what) for item in self.given},
        }


def write_page(book: Archive, table: Table, rows: list[Row]) -> None:
    """Write the next rows of a table three times: to read, for programs, for spreadsheets."""
    table.pages += 1
    table.rows += len(rows)
    name, count = f"{table.name}-{table.pages}", len(rows)
    book.add(f"pages/{name}.html", page(table, rows), rows=count)
    told = {"table": table.entry.model, "part": table.pages, "rows": rows}
    book.add_json(f"json/{name}.json", told, rows=count)
    columns = [item.name for item in table.given]
    book.add(f"csv/{name}.csv", archives.csv_table(columns, rows), rows=count)


def withheld(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Return the fields that are kept and not given, as the manifest names them."""
    return [
        {
            "path": f"{table.entry.model}.{item.name}",
            "reason": REASONS[item.access],
            "rows": table.rows,
        }
        for table in tables
        for item in table.withheld
    ]


def page(table: Table, rows: Sequence[Row]) -> bytes:
    """Return one page of rows as HTML, in the active language."""
    fields = {item.name: _field(table.entry, item.name) for item in table.given}
    words = {item.name: str(item.what) for item in table.given}
    shown = [
        [(words[name], _shown(fields[name], value)) for name, value in row.items()] for row in rows
    ]
    context = {
        "table": table,
        "number": table.pages,
        "rows": shown,
        "language": get_language(),
        "index": f"../{INDEX}",
    }
    return render_to_string("gdpr/package/page.html", context).encode()


def frame(tables: Sequence[Table], reference: str, now: datetime) -> dict[str, bytes]:
    """Return the pages' style sheet and the page that leads to them all."""
    context = {
        "tables": tables,
        "reference": reference,
        "made_on": deadlines.day_of(now),
        "language": get_language(),
    }
    index = render_to_string("gdpr/package/index.html", context).encode()
    return {INDEX: index, "pages/package.css": STYLE.read_bytes()}


def _field(entry: Entry, name: str) -> Any:
    return subjects.model_of(entry)._meta.get_field(name)


def _shown(item: Any, value: Value) -> str:
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(item, DateTimeField) and isinstance(value, str):
        local = datetime.fromisoformat(value).astimezone(deadlines.COPENHAGEN)
        return date_format(local, "DATETIME_FORMAT")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=1)
    return str(dict(item.flatchoices or ()).get(value, value))
