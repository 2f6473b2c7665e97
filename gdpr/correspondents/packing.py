# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a package about an address has: pages, JSON and CSV of its rows, and a manifest. `duty`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import translation

from accounts import alerts, clock
from accounts.refusals import Refused
from accounts.turns import turn
from gdpr import archives, reading
from gdpr.archives import Archive
from gdpr.correspondents import packages, subject
from gdpr.correspondents.extract import Extract, may_name_others
from gdpr.correspondents.whom import Correspondent
from gdpr.extracts import PAGE_ROWS, Row
from gdpr.models import AddressPackage
from gdpr.reading import Table
from gdpr.registry import Access, Entry
from gdpr.sealedfiles import SealingWriter

logger = logging.getLogger(__name__)

ALERT = "address-package-failed"
UNSEEN = (
    "free text: people are found by addresses, by the names that the same mail gives them, and by"
    " the names of the organisation's own people. The organisation is the controller, and reads it"
    " before it hands it out (GDPR article 15(4))."
)


def pack_due() -> int:
    """Put together what is due; return how many packages became ready."""
    ready = 0
    for package_id in packages.to_do(clock.now()):
        with turn(f"address-package {package_id}") as mine:
            ready += mine and _pack(package_id)
    failed = AddressPackage.objects.filter(state=packages.State.FAILED)
    alerts.resolve_others(ALERT, [str(key) for key in failed.values_list("pk", flat=True)])
    return ready


def _pack(package_id: UUID) -> bool:
    package = packages.begin(package_id, clock.now())
    if package is None:
        return False
    if package.state == packages.State.FAILED:
        alerts.raise_alert(ALERT, str(package_id))
        return False
    try:
        with packages.writer(package) as out:
            rows = compose(package, out, clock.now())
            packages.make_ready(package, out, rows, clock.now())
    except Refused:
        return False  # It was destroyed meanwhile: the address is erased.
    except Exception as error:  # noqa: BLE001 - those behind it do not wait for a fault of one
        # The text of these exceptions can hold what was being written: only their kind is kept.
        logger.warning("package about an address %s: %s", package_id, type(error).__name__)
        packages.put_back(package, clock.now())
        return False
    return True


def compose(package: AddressPackage, out: SealingWriter, now: datetime) -> int:
    """Write the ZIP, in the language of who asked; return how many rows it has."""
    whom = Correspondent(
        organisation_id=package.organisation_id,
        address=subject.address_of(package),
        until=package.created_at,
    )
    extract = Extract(whom)
    with translation.override(package.language), archives.archive(out, now) as book:
        tables = _write(book, extract)
        for name, content in reading.frame(tables, package.reference, now).items():
            book.add(name, content)
        book.add_manifest(_manifest(package, extract, tables, now))
    return sum(table.rows for table in tables)


def _write(book: Archive, extract: Extract) -> list[Table]:
    """Write all rows, a thousand of a table at a time: never more of it is in memory."""
    tables = {entry.model: _table(entry) for entry in extract.entries()}
    waiting: dict[str, list[Row]] = {model: [] for model in tables}
    for entry, rows in extract.rows():
        held = waiting[entry.model]
        held += rows
        while len(held) >= PAGE_ROWS:
            reading.write_page(book, tables[entry.model], held[:PAGE_ROWS])
            del held[:PAGE_ROWS]
    for model, rows in waiting.items():
        if rows:
            reading.write_page(book, tables[model], rows)
    for entry, count in extract.withheld_counts():
        tables[entry.model].rows = max(tables[entry.model].rows, count)
    return list(tables.values())


def _table(entry: Entry) -> Table:
    given = [item for item in entry.personal if item.access is Access.GIVEN]
    return Table(entry, given, [item for item in entry.personal if item not in given])


def _manifest(
    package: AddressPackage, extract: Extract, tables: list[Table], now: datetime
) -> dict[str, Any]:
    return {
        "kind": "correspondent",
        "package": str(package.pk),
        "organisation": str(package.organisation_id),
        "accepted_until": package.created_at.isoformat(),
        "made_at": now.isoformat(),
        "language": package.language,
        "tables": [table.told() for table in tables],
        "redactions": extract.pseudonyms.told(),
        "withheld": reading.withheld(tables),
        "may_name_others": list(_unseen(table.entry for table in tables)),
    }


def _unseen(entries: Iterable[Entry]) -> Iterator[dict[str, str]]:
    for path in may_name_others(entries):
        yield {"path": path, "reason": UNSEEN}
