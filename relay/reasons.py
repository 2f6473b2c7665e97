# SPDX-License-Identifier: AGPL-3.0-or-later
"""Why a delivery waits and when something happens next: the one place that says so.

The row has what the last look at it came to. A hold says otherwise without touching the row, and
may be about a million of them; so both are put together by the database, whoever asks: the page
of waiting mail, the timeline of a message, and the command `relay_queue`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from relay.models import QueuedDelivery
from relay.queue.claiming import RECIPIENT_DOMAIN

CANCELLED = "cancelled"
WORDS: dict[str, str | Promise] = {
    **dict(QueuedDelivery.Reason.choices),
    CANCELLED: _("cancelled, and about to end"),
}

# Mail that needs no next hop is ended whatever is held. Of several holds a person's comes first:
# it does not end by itself.
KEPT = """
kept AS MATERIALIZED (
    SELECT organisation_id, domain, message_id, reason, ends_at FROM relay_hold
    WHERE ends_at IS NULL OR ends_at > %(now)s
)
"""
_ALL_OF = """
q.organisation_id IN (SELECT organisation_id FROM kept
    WHERE reason = '{reason}' AND domain IS NULL AND message_id IS NULL)
"""
_DOMAIN = """
(q.organisation_id, {domain}) IN (SELECT organisation_id, domain FROM kept
    WHERE reason = '{reason}' AND domain IS NOT NULL)
"""
WHY = f"""
CASE WHEN q.cancelled_at IS NOT NULL THEN '{CANCELLED}'
    WHEN q.lane = {QueuedDelivery.Lane.ENDING.value} THEN q.reason
    WHEN {_ALL_OF.format(reason="held")}
        OR q.message_id IN (SELECT message_id FROM kept WHERE message_id IS NOT NULL)
        OR {_DOMAIN.format(reason="held", domain="q.domain")}
        OR {_DOMAIN.format(reason="held", domain=RECIPIENT_DOMAIN)} THEN 'held'
    WHEN {_ALL_OF.format(reason="over_quota")} THEN 'over_quota'
    WHEN {_ALL_OF.format(reason="paced")}
        OR {_DOMAIN.format(reason="paced", domain="q.domain")} THEN 'paced'
    ELSE q.reason END
"""  # noqa: S608 - constants
# Null: nothing happens by itself but the end of its lifetime. Of rows that have `why`.
NEXT = """
CASE q.why WHEN 'cancelled' THEN %(now)s WHEN 'held' THEN NULL
    WHEN 'over_quota' THEN greatest(q.due_at, (SELECT max(ends_at) FROM kept
        WHERE organisation_id = q.organisation_id AND reason = q.why))
    WHEN 'paced' THEN greatest(q.due_at, (SELECT max(ends_at) FROM kept
        WHERE organisation_id = q.organisation_id AND reason = q.why
            AND coalesce(domain, q.domain) = q.domain))
    ELSE q.due_at END
"""

OF_MESSAGE = f"""
WITH {KEPT}, q AS (SELECT q.*, {WHY} AS why FROM relay_queueddelivery q
    WHERE q.organisation_id = %(organisation)s AND q.message_id = %(message)s)
SELECT q.*, {NEXT} AS next_at FROM q
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Explained:
    """A waiting delivery: a value of WORDS, and when it is tried or ended; None: not by itself."""

    row: QueuedDelivery
    why: str
    next_at: datetime | None

    @property
    def words(self) -> str | Promise:
        return WORDS[self.why]

    @property
    def is_held(self) -> bool:
        return self.why == QueuedDelivery.Reason.HELD

    @property
    def is_set_aside(self) -> bool:
        return self.why == QueuedDelivery.Reason.QUARANTINED

    @property
    def is_cancelled(self) -> bool:
        return self.why == CANCELLED


def explained(row: Any) -> Explained:
    """Read a row that a statement with WHY and NEXT found."""
    return Explained(row, row.why, row.next_at)


def of_message(organisation_id: UUID, message_id: UUID, now: datetime) -> dict[int, Explained]:
    """Return what waits of a message, by recipient; one without recipients that wait is empty."""
    values = {"organisation": organisation_id, "message": message_id, "now": now}
    rows = QueuedDelivery.objects.raw(OF_MESSAGE, values)
    return {row.position: explained(row) for row in rows}
