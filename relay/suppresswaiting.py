# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits for an address that somebody has just put on the list (role duty)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db.models import Min, Q

from relay import cancelling, scopes
from relay.models import Delivery, QueuedDelivery, Suppression
from relay.smtp.addresses import spellings

Reason = QueuedDelivery.Reason


def cancel(suppression_id: UUID, now: datetime) -> int:
    """Cancel what waits for the address; returns how many deliveries. Harmless without the row."""
    row = Suppression.objects.filter(pk=suppression_id).exclude(address=None).first()
    if row is None:
        return 0
    waits = list(_waiting(row, now))
    pieces = (waits[start : start + scopes.PIECE] for start in range(0, len(waits), scopes.PIECE))
    return sum(_cancel(row, piece, now) for piece in pieces)


def _waiting(row: Suppression, now: datetime) -> Iterator[tuple[UUID, int]]:
    """Return what waits for the address, by message and position.

    Found in the log, which has an index of recipients: the queue would be walked from end to end
    for each address. The log has them in lower case.
    """
    queued = QueuedDelivery.objects.for_organisation(row.organisation_id)
    oldest = queued.aggregate(at=Min("accepted_at"))["at"]
    local, _, domain = (row.address or "").rpartition("@")
    rows = Delivery.objects.for_organisation(row.organisation_id).filter(
        recipient__in=[f"{local}@{name}" for name in spellings(domain)],
        accepted_at__gte=oldest or now,
        accepted_at__lte=now,
        state=Delivery.State.WAITING,
    )
    return rows.values_list("message_id", "position").iterator()


def _cancel(row: Suppression, waits: list[tuple[UUID, int]], now: datetime) -> int:
    meant = set(waits)
    rows = QueuedDelivery.objects.filter(message_id__in={message for message, _ in waits})
    if row.domain:
        rows = rows.filter(Q(domain=row.domain) | Q(domain__endswith=f".{row.domain}"))
    found = rows.values_list("id", "message_id", "position")
    chosen = [identifier for identifier, *place in found if tuple(place) in meant]
    if not chosen:
        return 0
    count = cancelling.mark(chosen, now)
    QueuedDelivery.objects.filter(id__in=chosen).exclude(cancelled_at=None).update(
        reason=Reason.SUPPRESSED
    )
    return count
