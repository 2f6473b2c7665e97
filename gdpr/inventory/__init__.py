# SPDX-License-Identifier: AGPL-3.0-or-later
"""The inventory: every table and every store, and what personal data are in it.

Everything that the service says or does about personal data is derived from here.
"""

from __future__ import annotations

from django.db.models import Model

from gdpr.inventory import (
    accounts,
    consents,
    correspondents,
    deciding,
    dpa,
    enquiries,
    framework,
    gdpr,
    letters,
    packages,
    relay,
    restricting,
    sending,
    service,
    stores,
)
from gdpr.registry import Entry, Personal, Store, Whose

ENTRIES: tuple[Entry, ...] = (
    *accounts.ENTRIES,
    *consents.ENTRIES,
    *service.ENTRIES,
    *relay.ENTRIES,
    *sending.ENTRIES,
    *gdpr.ENTRIES,
    *packages.ENTRIES,
    *enquiries.ENTRIES,
    *letters.ENTRIES,
    *correspondents.ENTRIES,
    *deciding.ENTRIES,
    *restricting.ENTRIES,
    *dpa.ENTRIES,
    *framework.ENTRIES,
)
STORES: tuple[Store, ...] = stores.STORES


def entry(model: type[Model] | str) -> Entry:
    """Return the entry of a model, given as a class or as "app.Model". Raises KeyError."""
    label = model if isinstance(model, str) else model._meta.label
    return _BY_MODEL[label]


def personal(model: type[Model] | str, name: str) -> Personal | None:
    """Return what a field holds of a person, None when nothing. Raises KeyError."""
    return next((field for field in entry(model).personal if field.name == name), None)


def personal_entries() -> tuple[Entry, ...]:
    """Return the entries that hold something of a person."""
    return tuple(item for item in ENTRIES if item.is_personal)


def entries_about(whose: Whose) -> tuple[Entry, ...]:
    """Return the entries with a path to this kind of subject."""
    return tuple(item for item in ENTRIES if whose in item.whose)


def timed_entries() -> tuple[Entry, ...]:
    """Return the entries whose rows have a period."""
    return tuple(item for item in ENTRIES if item.keep and item.keep.period)


_BY_MODEL = {item.model: item for item in ENTRIES}
