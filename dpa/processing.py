# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is processed for customers, and by whom: the inventory and the register, as facts.

Facts name tables, fields and services by their keys and give figures. The words for them are the
text's own, so that no change of another catalogue changes what the parties have agreed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from gdpr import inventory, recipients
from gdpr.models.recipients import SERVICES, Recipient
from gdpr.registry import Entry, Keep, Role

Facts = dict[str, Any]


def tables() -> list[Facts]:
    """Return the tables of customers' mail: which fields, and how long they are kept."""
    return [
        {
            "table": entry.model,
            "fields": [field.name for field in entry.personal],
            "kept": _kept(entry.keep),
        }
        for entry in _entries()
    ]


def subprocessors(on: date) -> list[Facts]:
    """Return the register's sub-processors on a day (EDPB Opinion 22/2024: the whole chain)."""
    return [_subprocessor(row) for row in recipients.subprocessors(on)]


def keys() -> Iterator[str]:
    """Yield the keys for which a text must have words."""
    for entry in _entries():
        yield f"data.{entry.model.lower()}"
        yield from (f"data.{entry.model.lower()}.{field.name}" for field in entry.personal)
        yield from (f"purpose.{purpose.value}" for purpose in entry.purposes)
    yield from (f"service.{service}" for service, _ in SERVICES)
    yield from (f"transfer.{transfer.value}" for transfer in Recipient.Transfer)


def _entries() -> list[Entry]:
    return [entry for entry in inventory.personal_entries() if entry.role is Role.PROCESSOR]


def _kept(keep: Keep | None) -> dict[str, int]:
    """Return the longest that a row is kept, as {"days": 30}; empty when only an event ends it."""
    if keep is None or keep.period is None:
        return {}
    return {keep.period.unit.value: keep.period.figure}


def _subprocessor(row: Recipient) -> Facts:
    entries = [entry for entry in recipients.entries_for(row) if entry.role is Role.PROCESSOR]
    purposes = dict.fromkeys(purpose.value for entry in entries for purpose in entry.purposes)
    return {
        "name": row.name,
        "company_number": row.company_number,
        "address": row.address,
        "country": row.country,
        "contact": row.contact,
        "services": list(row.services),
        "purposes": list(purposes),
        "tables": [entry.model for entry in entries],
        "duration": row.ends_on.isoformat() if row.ends_on else "",
        "transfer": row.transfer,
        "level": row.level,
        "engaged_by": row.engaged_by.name if row.engaged_by else "",
    }
