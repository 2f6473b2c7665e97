# SPDX-License-Identifier: AGPL-3.0-or-later
"""Portability (GDPR article 20): what a person provided or left by use, for another service.

JSON in parts with a published schema; not a copy of everything, which is article 15's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from gdpr import archives, inventory, subjects
from gdpr.archives import Archive, Told
from gdpr.extracts import Extract
from gdpr.models import Package
from gdpr.registry import Entry, Personal, Whose
from gdpr.rights import manifest
from gdpr.rights.manifest import DIALECT, TEXT
from gdpr.sealedfiles import SealingWriter

VERSION = 1
FORMAT = "brevdue-portability"
SCHEMA_FILE = "portability.schema.json"

RECORD = {
    "type": "object",
    "properties": {"table": TEXT, "row": {"type": "object"}},
    "required": ["table", "row"],
    "additionalProperties": False,
}
# Where no kind of column is named here, its values are text.
TYPES: tuple[tuple[type[models.Field[Any, Any]], dict[str, Any]], ...] = (
    (models.BooleanField, {"type": "boolean"}),
    (models.IntegerField, {"type": "integer"}),
    (models.DateTimeField, TEXT | {"format": "date-time"}),
    (models.DateField, TEXT | {"format": "date"}),
    (models.UUIDField, TEXT | {"format": "uuid"}),
    (models.EmailField, TEXT | {"format": "email"}),
    (ArrayField, {"type": "array", "items": TEXT}),
    # Rows that were brought along from elsewhere: the only JSON that is portable.
    (models.JSONField, {"type": "array", "items": RECORD}),
)


def compose(package: Package, out: SealingWriter, told: Told, now: datetime) -> None:
    """Write the ZIP of a portability request. Role `duty`."""
    subject, hidden = subjects.person(package.person), manifest.pseudonyms(package)
    extract = Extract(subject, portable=True, pseudonyms=hidden)
    entries, tables = extract.entries(), []
    with archives.archive(out, now) as book:
        for number, entry in enumerate(entries):
            still = partial(told, number, len(entries))
            tables.append(_write_table(book, extract, entry, still))
            told(number + 1, len(entries))
        book.add_json(SCHEMA_FILE, schema())
        book.add_manifest(_manifest(package, extract, tables, now))


def _write_table(
    book: Archive, extract: Extract, entry: Entry, still: Callable[[], None]
) -> dict[str, Any]:
    name, parts, total = entry.model.replace(".", "-").lower(), 0, 0
    for rows in extract.pages(entry):
        parts, total = parts + 1, total + len(rows)
        part = {"format": FORMAT, "version": VERSION, "table": entry.model, "rows": rows}
        book.add_json(f"data/{name}-{parts}.json", part, rows=len(rows))
        still()
    return {"table": entry.model, "rows": total, "parts": parts}


def _manifest(
    package: Package, extract: Extract, tables: list[dict[str, Any]], now: datetime
) -> dict[str, Any]:
    return {
        **manifest.told(package, extract, tables, now),
        "format": FORMAT,
        "version": VERSION,
        "part_schema": schema_url(),
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a part, from the inventory: one shape for each table."""
    return {
        "$schema": DIALECT,
        "$id": schema_url(),
        "title": "Data of a person, to be taken to another service (GDPR article 20)",
        "oneOf": [_part(table, row) for table, row in row_shapes().items()],
    }


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


def schema_url() -> str:
    return manifest.published("gdpr:portability-schema")


def row_shapes() -> dict[str, dict[str, Any]]:
    """Return the schema of a row of each table."""
    entries = inventory.entries_about(Whose.PERSON)
    return {entry.model: _row(entry) for entry in entries if _portable(entry)}


def _part(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "format": {"const": FORMAT},
            "version": {"const": VERSION},
            "table": {"const": table},
            "rows": {"type": "array", "items": row},
        },
        "required": ["format", "version", "table", "rows"],
        "additionalProperties": False,
    }


def _row(entry: Entry) -> dict[str, Any]:
    model = subjects.model_of(entry)
    columns = {item.name: _type(model._meta.get_field(item.name)) for item in _portable(entry)}
    return {"type": "object", "properties": columns, "additionalProperties": False}


def _portable(entry: Entry) -> list[Personal]:
    return [item for item in entry.personal if item.portable]


def _type(item: Any) -> dict[str, Any]:
    shape = next((shape for kind, shape in TYPES if isinstance(item, kind)), TEXT)
    return {"anyOf": [shape, {"type": "null"}]} if item.null else shape
