# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the public pages say of each processing: the inventory in words, nothing added to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gdpr.inventory import STORES, entries_about, personal_entries, stores
from gdpr.models import RetentionGauge
from gdpr.registry import Cookie, Entry, Role, Store, Text, Whose


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """A table with personal data, as its subjects read of it (GDPR articles 13 and 14)."""

    title: Text
    data: tuple[Text, ...]
    purposes: tuple[Text, ...]
    basis: Text
    interest: Text
    source: Text
    kept: str
    recipients: tuple[Text, ...]
    # How the table stood when it was last measured; None where no period counts by the clock.
    gauge: RetentionGauge | None


def about_people() -> list[Processing]:
    """Return what is processed by the operator's own decision, of people with an account and of
    whoever asks by the public form.
    """
    return _processings(personal_entries(), Role.CONTROLLER)


def about_correspondents() -> list[Processing]:
    """Return what is processed of senders and recipients, for the customers."""
    return _processings(entries_about(Whose.CORRESPONDENT), Role.PROCESSOR)


def personal_stores() -> list[Store]:
    """Return the places outside the database that hold something of a person."""
    return [store for store in STORES if store.is_personal]


def cookies() -> tuple[Cookie, ...]:
    return stores.COOKIES


def interests(processings: Iterable[Processing]) -> list[Text]:
    """Return each legitimate interest once, with why it outweighs the person's."""
    return list(dict.fromkeys(item.interest for item in processings if item.interest))


def _processings(entries: Iterable[Entry], role: Role) -> list[Processing]:
    gauges = {gauge.what: gauge for gauge in RetentionGauge.objects.all()}
    chosen = [entry for entry in entries if entry.role is role]
    return [_processing(entry, gauges.get(entry.model)) for entry in chosen]


def _processing(entry: Entry, gauge: RetentionGauge | None) -> Processing:
    # The check of the inventory lets no personal entry without these start.
    assert entry.basis
    assert entry.source
    assert entry.keep
    return Processing(
        title=entry.title,
        data=tuple(field.what for field in entry.personal),
        purposes=tuple(purpose.label for purpose in entry.purposes),
        basis=entry.basis.label,
        interest=entry.interest,
        source=entry.source.label,
        kept=entry.keep.words,
        recipients=tuple(audience.label for audience in entry.audiences),
        gauge=gauge,
    )
