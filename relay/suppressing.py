# SPDX-License-Identifier: AGPL-3.0-or-later
"""By what an address that gets no mail is known: a keyed hash, another one for each organisation.

So nobody can tell from two organisations' lists that they have an address in common.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min

from accounts import vault
from accounts.models import Organisation
from relay.models import Restriction, Suppression, messages
from relay.smtp.addresses import AddressError, host_name

PURPOSE = "suppression"


def normalised(address: str) -> str:
    """Return an address as it is compared: composed (NFC), lower case, the domain as A-label.

    RFC 5321 §2.4 lets a host tell cases apart; none is known to, and whoever objected in one case
    must not get mail in another.
    """
    local, at, domain = unicodedata.normalize("NFC", address.strip()).lower().rpartition("@")
    # No host has a name that is none; what is compared need not exist.
    with suppress(AddressError):
        domain = domain if domain.isascii() else host_name(domain)
    return f"{local}{at}{domain}"


def fingerprint(organisation_id: UUID, address: str) -> bytes:
    """Return the 32 octets that an organisation's list knows an address by."""
    return vault.keyed_hash(PURPOSE, organisation_id.bytes + normalised(address).encode())


def rows_of(address: str) -> list[UUID]:
    """Return the rows about an address on any organisation's list. Role `duty`."""
    organisations = Organisation.objects.values_list("id", flat=True)
    hashes = [fingerprint(identifier, address) for identifier in organisations]
    return list(Suppression.objects.filter(address_hash__in=hashes).values_list("id", flat=True))


def restrictions_of(address: str) -> list[UUID]:
    """Return the restrictions of an address at any organisation. Role `duty`."""
    organisations = Organisation.objects.values_list("id", flat=True)
    hashes = [fingerprint(identifier, address) for identifier in organisations]
    return list(Restriction.objects.filter(address_hash__in=hashes).values_list("id", flat=True))


def oldest_restricted() -> datetime | None:
    """Return since when the restricted address is kept that is forgotten next; None without any."""
    found = Restriction.objects.filter(address__isnull=False)
    first: datetime | None = found.aggregate(first=Min("restricted_at"))["first"]
    return first


def oldest_address() -> datetime | None:
    """Return since when the address is kept that is forgotten next; None without any."""
    found = Suppression.objects.filter(address__isnull=False).aggregate(first=Min("address_until"))
    until: datetime | None = found["first"]
    return until - timedelta(days=messages.LOG_DAYS) if until else None
