# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits for addresses that somebody has just put on the list (role duty)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Min, Q

from relay import cancelling, scopes
from relay.correspondence import spelt
from relay.models import Delivery, QueuedDelivery, Suppression

Reason = QueuedDelivery.Reason
# So long after an import its addresses are looked for.
IMPORTED_WITHIN = timedelta(hours=1)
# Addresses of one statement.
TOGETHER = 500


def cancel(suppression_id: UUID, now: datetime) -> int:
    """Cancel what waits for the address; returns how many deliveries. Harmless without the row."""
    row = Suppression.objects.filter(pk=suppression_id).exclude(address=None).first()
    return _cancel_all(row.organisation_id, [row.address or ""], row.domain, now) if row else 0


def cancel_imported(organisation_id: UUID, now: datetime) -> int:
    """Cancel what waits for addresses that came with a file; returns how many deliveries."""
    rows = Suppression.objects.for_organisation(organisation_id).filter(
        reason=Suppression.Reason.IMPORTED, domain="", created_at__gt=now - IMPORTED_WITHIN
    )
    addresses = [address for address in rows.values_list("address", flat=True) if address]
    pieces = (addresses[at : at + TOGETHER] for at in range(0, len(addresses), TOGETHER))
    return sum(_cancel_all(organisation_id, piece, "", now) for piece in pieces)


def _cancel_all(organisation_id: UUID, addresses: Sequence[str], domain: str, now: datetime) -> int:
    """Cancel what waits for the addresses: mail from one domain and those below it, or ("") all."""
    waits = list(_waiting(organisation_id, addresses, now))
    pieces = (waits[start : start + scopes.PIECE] for start in range(0, len(waits), scopes.PIECE))
    return sum(_cancel(domain, piece, now) for piece in pieces)


def _waiting(
    organisation_id: UUID, addresses: Sequence[str], now: datetime
) -> Iterator[tuple[UUID, int]]:
    """Return what waits for the addresses, by message and position.

    Found in the log, which has an index of recipients: the queue would be walked from end to end
    for each address. The log has them in lower case.
    """
    queued = QueuedDelivery.objects.for_organisation(organisation_id)
    oldest = queued.aggregate(at=Min("accepted_at"))["at"]
    rows = Delivery.objects.for_organisation(organisation_id).filter(
        recipient__in=[one for address in addresses for one in spelt(address)],
        accepted_at__gte=oldest or now,
        accepted_at__lte=now,
        state=Delivery.State.WAITING,
    )
    return rows.values_list("message_id", "position").iterator()


def _cancel(domain: str, waits: list[tuple[UUID, int]], now: datetime) -> int:
    meant = set(waits)
    rows = QueuedDelivery.objects.filter(message_id__in={message for message, _ in waits})
    if domain:
        rows = rows.filter(Q(domain=domain) | Q(domain__endswith=f".{domain}"))
    found = rows.values_list("id", "message_id", "position")
    chosen = [identifier for identifier, *place in found if tuple(place) in meant]
    if not chosen:
        return 0
    count = cancelling.mark(chosen, now)
    QueuedDelivery.objects.filter(id__in=chosen).exclude(cancelled_at=None).update(
        reason=Reason.SUPPRESSED
    )
    return count
