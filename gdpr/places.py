# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the inventory says of a place that a scan names: a table's column, or a store."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps import apps
from django.utils.translation import gettext_lazy

from gdpr import inventory
from gdpr.registry import Entry, Field
from gdpr.scan import Finding

# Where a scan looks for files, by its own names.
FILES = {
    "logs": gettext_lazy("log files"),
    "packages": gettext_lazy("packages that are encrypted, by their names"),
    "erasure journal": gettext_lazy("journal of erasures"),
    "audit anchors": gettext_lazy("heads of the audit trail"),
}


def entry_of(finding: Finding) -> Entry | None:
    """Return the entry of the table where something was found, None outside the tables."""
    return _ENTRY_OF_TABLE.get(finding.place.partition(".")[0])


def field_of(finding: Finding) -> Field | None:
    """Return the field that it was found in."""
    # A name that is a word of SQL comes in quotation marks.
    return _FIELD_OF_PLACE.get(finding.place.replace('"', ""))


def _places(entry: Entry) -> Iterator[tuple[str, Field]]:
    meta = apps.get_model(entry.model)._meta
    for field in entry.fields:
        for name in field.names:
            if column := meta.get_field(name).column:
                yield f"{meta.db_table}.{column}", field


_ENTRY_OF_TABLE = {apps.get_model(entry.model)._meta.db_table: entry for entry in inventory.ENTRIES}
_FIELD_OF_PLACE = dict(place for entry in inventory.ENTRIES for place in _places(entry))
