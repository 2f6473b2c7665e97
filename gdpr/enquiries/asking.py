# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the public form does: one sealed row, whoever asks and about whatever address.

Nothing is looked up, so that neither the page nor the time it takes can tell whether an address is
known. What is more than a limit allows is dropped, and the page says the same.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from accounts import limits, vault
from accounts.limits import DAY, HOUR, Limit, TooMany
from gdpr.enquiries.headers import Named
from gdpr.models import Enquiry, Right
from relay.suppressing import normalised

PURPOSE = "enquiry"
FROM_NETWORK = Limit("enquiries-network", ((20, HOUR), (60, DAY)))
# One network cannot use up what an address may be mailed in a day (passing.MAILS_A_DAY).
ABOUT_ADDRESS = Limit("enquiries-address", ((2, DAY),))
# Whoever holds a link is the address's owner: so much is enough for anybody.
BY_LINK = Limit("enquiries-link", ((10, DAY),))


class Whom(StrEnum):
    """Whom a request is meant for."""

    SENDER = "sender"
    EVERYONE = "everyone"
    OURSELVES = "ourselves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks for; `address` is theirs only once it is proven."""

    address: str = field(repr=False)
    rights: tuple[Right, ...]
    whom: Whom
    named: Named = Named()
    words: str = field(default="", repr=False)
    language: str


def store(asked: Asked, now: datetime, *, network: str) -> None:
    """Keep a request until its address is proven; `network` is the client's network address."""
    with suppress(TooMany):
        limits.check_address(FROM_NETWORK, network)
        limits.check(ABOUT_ADDRESS, f"{normalised(asked.address)}|{limits.network(network)}")
        _keep(asked, now)


def store_proven(asked: Asked, now: datetime, *, answer_at: datetime) -> UUID:
    """Keep a request about an address that is proven already; return its number. Raises TooMany."""
    limits.check(BY_LINK, normalised(asked.address))
    # No link is mailed for it.
    return _keep(asked, now, mailed_at=now, proven_at=now, due_at=answer_at)


def _keep(asked: Asked, now: datetime, **times: datetime) -> UUID:
    enquiry_id = uuid4()
    sealed = vault.seal(_purpose(enquiry_id), json.dumps(asdict(asked)).encode())
    row = Enquiry(id=enquiry_id, sealed=sealed, received_at=now, **({"due_at": now} | times))
    row.save(force_insert=True)
    return enquiry_id


def opened(enquiry_id: UUID, sealed: bytes | memoryview) -> Asked:
    """Open what `store` has kept. Raises vault.VaultError."""
    values = json.loads(vault.unseal(_purpose(enquiry_id), sealed))
    named = values["named"]
    return Asked(
        address=values["address"],
        rights=tuple(map(Right, values["rights"])),
        whom=Whom(values["whom"]),
        named=Named(tuple(named["domains"]), named["message_id"]),
        words=values["words"],
        language=values["language"],
    )


def rows_about(address: str) -> list[UUID]:
    """Return the enquiries that an address has made. Opens every one. Role `duty`."""
    rows = Enquiry.objects.filter(sealed__isnull=False).values_list("id", "sealed")
    return [key for key, sealed in rows if sealed and _is_about(address, key, sealed)]


def _is_about(address: str, enquiry_id: UUID, sealed: bytes | memoryview) -> bool:
    try:
        asked = opened(enquiry_id, sealed)
    except vault.VaultError:
        # Nobody can read it, so it is about nobody; its period ends it.
        return False
    return normalised(asked.address) == normalised(address)


def _purpose(enquiry_id: UUID) -> str:
    return f"{PURPOSE}|{enquiry_id}"
