# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cancels mail that waits for an address that somebody has just put on the list (role duty)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from relay import cancelling, scopes
from relay.models import QueuedDelivery, Suppression
from relay.scopes import Scope
from relay.smtp.addresses import spellings

Reason = QueuedDelivery.Reason


def cancel(suppression_id: UUID, now: datetime) -> int:
    """Cancel what waits for the address; returns how many deliveries. Harmless without the row."""
    row = Suppression.objects.filter(pk=suppression_id).exclude(address=None).first()
    if row is None:
        return 0
    scope = Scope(row.organisation_id)
    return scopes.change(scope, now, lambda ids: _cancel(row, ids, now)).count


def _cancel(row: Suppression, ids: list[int], now: datetime) -> int:
    chosen = list(_of(row, ids).values_list("id", flat=True))
    if not chosen:
        return 0
    count = cancelling.mark(chosen, now)
    QueuedDelivery.objects.filter(id__in=chosen).exclude(cancelled_at=None).update(
        reason=Reason.SUPPRESSED
    )
    return count


def _of(row: Suppression, ids: list[int]) -> QuerySet[QueuedDelivery]:
    local, _, domain = (row.address or "").rpartition("@")
    to = Q()
    for spelling in spellings(domain):
        to |= Q(recipient__iexact=f"{local}@{spelling}")
    rows = QueuedDelivery.objects.filter(to, id__in=ids)
    if row.domain:
        rows = rows.filter(Q(domain=row.domain) | Q(domain__endswith=f".{row.domain}"))
    return rows
