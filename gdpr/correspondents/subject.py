# SPDX-License-Identifier: AGPL-3.0-or-later
"""The address that a row is about, sealed under its organisation's key while the row needs it."""

from __future__ import annotations

from uuid import UUID

from accounts import vault
from gdpr.correspondents.addresses import canonical
from gdpr.correspondents.whom import Correspondent
from gdpr.models import AddressErasure, AddressPackage

Row = AddressErasure | AddressPackage


def seal(row: Row, address: str) -> None:
    """Note on a new row whom it is about. Needs the organisation's context, or role `duty`."""
    address = canonical(address)
    row.sealed_address = vault.seal(
        _purpose(row), address.encode(), organisation_id=row.organisation_id
    )


def address_of(row: Row) -> str:
    """Return the canonical address. Raises VaultError."""
    assert row.sealed_address is not None, "an erasure that is done names nobody"
    return vault.unseal(
        _purpose(row), row.sealed_address, organisation_id=row.organisation_id
    ).decode()


def is_about(row: Row, address: str) -> bool:
    """Return whether a row is about an address in its canonical form."""
    try:
        return address_of(row) == address
    except vault.VaultError:
        # Nobody can read it, so it is about nobody; its end comes without.
        return False


def whom(erasure: AddressErasure) -> Correspondent:
    """Return whom a running erasure is about. Raises VaultError."""
    return Correspondent(
        organisation_id=erasure.organisation_id,
        address=address_of(erasure),
        until=erasure.asked_at,
    )


def erasures_of(address: str) -> list[UUID]:
    """Return the running erasures of an address. Role `duty`."""
    rows = AddressErasure.objects.filter(sealed_address__isnull=False)
    return [row.pk for row in rows if is_about(row, canonical(address))]


def packages_of(address: str) -> list[UUID]:
    """Return the packages about an address. Role `duty`."""
    rows = AddressPackage.objects.all()
    return [row.pk for row in rows if is_about(row, canonical(address))]


def _purpose(row: Row) -> str:
    return f"{row._meta.model_name}|{row.pk}"
