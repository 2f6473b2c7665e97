# SPDX-License-Identifier: AGPL-3.0-or-later
"""A request as an organisation gets it: a row of its own, sealed for it, and a mail to its people.

Nothing here asks how an organisation stands: who is suspended, unpaid or closing gets it as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from accounts import alerts, audit, roster, vault
from accounts.models import Membership, Role
from gdpr import deadlines
from gdpr.enquiries import mails
from gdpr.enquiries.asking import Asked
from gdpr.models import Enquiry, ForwardedRequest
from relay.suppressing import normalised

PURPOSE = "forwarded-request"
# Who answers requests in an organisation.
ANSWERING = frozenset({Role.OWNER, Role.PRIVACY})
# Nobody is left in the organisation who could be told.
UNHEARD = "forwarded-unheard"


@dataclass(frozen=True, slots=True)
class Content:
    """What an organisation is told: who asks, and in which words."""

    address: str = field(repr=False)
    words: str = field(repr=False)


def forward(enquiry: Enquiry, asked: Asked, organisation_id: UUID, now: datetime) -> None:
    """Pass a request on to an organisation, once; one that it has, word for word, not again.

    Role `duty`. Raises vault.VaultError.
    """
    content = Content(asked.address, asked.words)
    if _was_passed_on(enquiry, organisation_id):
        return
    if _has(organisation_id, asked, content):
        return
    row = _new(enquiry, asked, content, organisation_id, now)
    told = tell(row)
    if not told:
        alerts.raise_alert(UNHEARD, str(row.id))
    audit.record(None, "forwarded.received", row)


def tell(row: ForwardedRequest, mail: mails.ToMember = mails.request_forwarded) -> int:
    """Mail those who answer requests in an organisation; return how many."""
    members = answering(row.organisation_id)
    for membership in members:
        mail(row, membership)
    return len(members)


def answering(organisation_id: UUID) -> list[Membership]:
    """Return the members who answer; whose account is restricted cannot open the inbox."""
    rows = roster.members(organisation_id).filter(role__in=ANSWERING, user__is_active=True)
    return list(rows.filter(user__restricted_at=None).select_related("user", "organisation"))


def opened(row: ForwardedRequest) -> Content:
    """Open what the organisation is told; in its context. Raises vault.VaultError."""
    sealed = vault.unseal(_purpose(row.id), row.sealed, organisation_id=row.organisation_id)
    return Content(**json.loads(sealed))


def readable(row: ForwardedRequest) -> Content | None:
    """Return what `opened` does, None where no key of the organisation opens it."""
    try:
        return opened(row)
    except vault.VaultError:
        return None


def fingerprint(organisation_id: UUID, address: str) -> bytes:
    """Return the 32 octets by which an organisation's requests of an address are found."""
    return vault.keyed_hash(PURPOSE, organisation_id.bytes + normalised(address).encode())


def rows_of(address: str) -> list[UUID]:
    """Return the requests of an address, whichever organisation has them. Role `duty`."""
    owners = ForwardedRequest.objects.values_list("organisation_id", flat=True).distinct()
    hashes = [fingerprint(owner, address) for owner in owners]
    rows = ForwardedRequest.objects.filter(address_hash__in=hashes)
    return list(rows.values_list("id", flat=True))


def _was_passed_on(enquiry: Enquiry, organisation_id: UUID) -> bool:
    """Say whether an earlier try has reached this organisation and failed for another."""
    rows = ForwardedRequest.objects.for_organisation(organisation_id)
    return rows.filter(enquiry_id=enquiry.id).exists()


def _has(organisation_id: UUID, asked: Asked, content: Content) -> bool:
    rows = ForwardedRequest.objects.for_organisation(organisation_id).filter(
        address_hash=fingerprint(organisation_id, asked.address),
        rights=sorted(asked.rights),
        closed_at=None,
    )
    # What nobody can read says nothing, and keeps no other request back.
    return any(found.words == content.words for row in rows if (found := readable(row)))


def _new(
    enquiry: Enquiry, asked: Asked, content: Content, organisation_id: UUID, now: datetime
) -> ForwardedRequest:
    row_id, clock = uuid4(), deadlines.clock(enquiry.received_at, now)
    text = json.dumps({"address": content.address, "words": content.words}).encode()
    return ForwardedRequest.objects.create(
        id=row_id,
        organisation_id=organisation_id,
        enquiry_id=enquiry.id,
        rights=sorted(asked.rights),
        language=asked.language,
        sealed=vault.seal(_purpose(row_id), text, organisation_id=organisation_id),
        address_hash=fingerprint(organisation_id, asked.address),
        received_at=enquiry.received_at,
        forwarded_at=now,
        promised_on=clock.promised_on,
        due_on=clock.due_on,
    )


def _purpose(row_id: UUID) -> str:
    return f"{PURPOSE}|{row_id}"
