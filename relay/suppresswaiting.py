# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits for addresses that somebody has just put on the list (role duty)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from relay import cancelling, waitingfor
from relay.models import QueuedDelivery, Suppression

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
    pieces = waitingfor.to(organisation_id, addresses, now)
    return sum(_cancel(domain, piece, now) for piece in pieces)


def _cancel(domain: str, ids: list[int], now: datetime) -> int:
    rows = QueuedDelivery.objects.filter(id__in=ids)
    if domain:
        rows = rows.filter(Q(domain=domain) | Q(domain__endswith=f".{domain}"))
    chosen = list(rows.values_list("id", flat=True))
    if not chosen:
        return 0
    count = cancelling.mark(chosen, now)
    QueuedDelivery.objects.filter(id__in=chosen).exclude(cancelled_at=None).update(
        reason=Reason.SUPPRESSED
    )
    return count
