# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits for addresses that somebody has just put on the list (role duty)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from relay import cancelling, waitingfor
from relay.models import QueuedDelivery, Suppression

Reason = QueuedDelivery.Reason
# What a file brings that ends waiting mail: a wish counts however it came.
WITH_A_FILE = (
    Suppression.Reason.IMPORTED,
    Suppression.Reason.OBJECTION,
    Suppression.Reason.COMPLAINT,
)
# So long after an import its addresses are looked for.
IMPORTED_WITHIN = timedelta(hours=1)
# Addresses of one statement.
TOGETHER = 500


def cancel(suppression_id: UUID, now: datetime) -> int:
    """Cancel what waits for the address; returns how many deliveries. Harmless without the row."""
    row = Suppression.objects.filter(pk=suppression_id).exclude(address=None).first()
    return _cancel_all(row.organisation_id, [row.address or ""], row.domain, now) if row else 0


def cancel_imported(organisation_id: UUID, now: datetime) -> int:
    """Cancel what waits for addresses that came with a file; returns how many deliveries.

    An exported list brings recipients' own wishes as well; mail for one is cancelled either way.
    """
    rows = Suppression.objects.for_organisation(organisation_id).filter(
        reason__in=WITH_A_FILE, created_at__gt=now - IMPORTED_WITHIN, address__isnull=False
    )
    by_domain: dict[str, list[str]] = defaultdict(list)
    for address, domain in rows.values_list("address", "domain"):
        by_domain[domain].append(address or "")
    return sum(
        _cancel_all(organisation_id, addresses[at : at + TOGETHER], domain, now)
        for domain, addresses in by_domain.items()
        for at in range(0, len(addresses), TOGETHER)
    )


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
