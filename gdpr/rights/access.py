# SPDX-License-Identifier: AGPL-3.0-or-later
"""Access (GDPR article 15): all about a person as a sheet, pages, JSON and CSV in one ZIP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.utils import translation

from gdpr import archives, reading, subjects
from gdpr.archives import Archive, Told
from gdpr.extracts import Extract
from gdpr.models import Package
from gdpr.reading import Table
from gdpr.registry import Entry
from gdpr.rights import manifest, sheet
from gdpr.sealedfiles import SealingWriter


def compose(package: Package, out: SealingWriter, told: Told, now: datetime) -> None:
    """Write the ZIP of an access request, in the language of the request. Role `duty`."""
    request = package.right.request
    subject, hidden = subjects.person(package.person), manifest.pseudonyms(package)
    extract = Extract(subject, pseudonyms=hidden)
    with translation.override(request.language), archives.archive(out, now) as book:
        tables = _write_tables(book, extract, told)
        for name, content in reading.frame(tables, request.reference, now).items():
            book.add(name, content)
        book.add("access.pdf", sheet.render(package.person, request, tables, now))
        told(len(tables) + 1, len(tables) + 1)
        book.add_manifest(_manifest(package, extract, tables, now))


def _write_tables(book: Archive, extract: Extract, told: Told) -> list[Table]:
    entries = extract.entries()
    tables = []
    for number, entry in enumerate(entries):
        # With every page: a table may take longer than others wait for one who is at a package.
        still = partial(told, number, len(entries) + 1)
        tables.append(_write_table(book, extract, entry, still))
        told(number + 1, len(entries) + 1)
    return tables


def _write_table(book: Archive, extract: Extract, entry: Entry, still: Callable[[], None]) -> Table:
    """Write every page of a table three times over: to read, for programs, for spreadsheets."""
    table = Table(entry, extract.fields(entry), extract.withheld(entry))
    for page in extract.pages(entry):
        reading.write_page(book, table, page)
        still()
    if not table.given:
        # Nothing of it can be given; that it is there is told all the same.
        table.rows = extract.count(entry)
    return table


def _manifest(
    package: Package, extract: Extract, tables: list[Table], now: datetime
) -> dict[str, Any]:
    return {
        **manifest.told(package, extract, [table.told() for table in tables], now),
        "language": package.right.request.language,
        "withheld": reading.withheld(tables),
    }
