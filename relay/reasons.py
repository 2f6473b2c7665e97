# SPDX-License-Identifier: AGPL-3.0-or-later
"""Why a delivery waits and when something happens next: the one place that says so.

The row has what the last look at it came to. A hold, or a route that takes nothing, says otherwise
without touching the row, and may be about a million of them; so all of it is put together by the
database, whoever asks: the page
of waiting mail, the timeline of a message, and the command `relay_queue`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
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
_CARRIED = ", ".join(f"'{standing.value}'" for standing in sorted(Organisation.CARRIED))
# The turns, of what is looked at, that no route takes now: what routing.choose says of each of
# them. Mail of the sandbox has no domain here, and needs no route.
SHUT = f"""
shut AS MATERIALIZED (
    SELECT t.organisation_id, t.domain, r.rest_until AS until,
        CASE WHEN NOT o.may_send THEN 'stopped' WHEN r.id IS NULL THEN 'no_route'
            WHEN r.pause_reason = 'sign_in_refused' THEN r.pause_reason
            WHEN r.paused_at IS NOT NULL THEN 'route_paused' ELSE 'resting' END AS reason
    FROM (SELECT DISTINCT organisation_id, domain FROM looked WHERE domain <> '') t
    JOIN (SELECT id, sending_allowed AND standing IN ({_CARRIED}) AS may_send
        FROM accounts_organisation) o ON o.id = t.organisation_id
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT r.*, rank() OVER (ORDER BY length(coalesce(d.name, '')) DESC) AS nearness,
                r.paused_at IS NOT NULL OR coalesce(r.rest_until > %(now)s, false)
                    OR (NOT r.takes_over AND coalesce(bool_or(r.paused_at IS NULL)
                        OVER (PARTITION BY d.name ORDER BY r.priority, r.created_at, r.id
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false)) AS is_shut
            FROM relay_route r LEFT JOIN relay_sendingdomain d ON d.id = r.domain_id
            WHERE r.organisation_id = t.organisation_id AND (r.domain_id IS NULL
                OR right('.' || t.domain, length(d.name) + 1) = '.' || d.name)) r
        WHERE r.nearness = 1
        ORDER BY r.is_shut, r.paused_at IS NOT NULL, r.priority, r.created_at, r.id LIMIT 1
    ) r ON true
    WHERE NOT o.may_send OR r.id IS NULL OR r.is_shut
)
"""  # noqa: S608 - constants
WHY = f"""
CASE WHEN q.cancelled_at IS NOT NULL THEN '{CANCELLED}'
    WHEN q.lane = {QueuedDelivery.Lane.ENDING.value} THEN q.reason
    WHEN {_ALL_OF.format(reason="held")}
        OR q.message_id IN (SELECT message_id FROM kept WHERE message_id IS NOT NULL)
        OR {_DOMAIN.format(reason="held", domain="q.domain")}
        OR {_DOMAIN.format(reason="held", domain=RECIPIENT_DOMAIN)} THEN 'held'
    WHEN {_DOMAIN.format(reason="bounces", domain="q.domain")} THEN 'bounces'
    WHEN {_ALL_OF.format(reason="over_quota")} THEN 'over_quota'
    WHEN {_ALL_OF.format(reason="paced")}
        OR {_DOMAIN.format(reason="paced", domain="q.domain")} THEN 'paced'
    WHEN q.reason = 'restricted' THEN q.reason
    ELSE coalesce(shut.reason, q.reason) END
"""  # noqa: S608 - constants
# Every row that is looked at, with why it waits; KEPT and `looked` come before.
EXPLAINED = f"""
{SHUT}, explained AS (
    SELECT q.*, {WHY} AS why, {RECIPIENT_DOMAIN} AS goes_to, shut.reason AS shut,
        shut.until AS shut_until
    FROM looked q LEFT JOIN shut
        ON shut.organisation_id = q.organisation_id AND shut.domain = q.domain
)
"""  # noqa: S608 - constants
# Null: nothing happens by itself but the end of its lifetime. Of `explained` rows, named q.
NEXT = """
CASE WHEN q.why = 'cancelled' THEN %(now)s WHEN q.why IN ('held', 'bounces', 'restricted')
        THEN NULL
    WHEN q.why = 'over_quota' THEN greatest(q.due_at, (SELECT max(ends_at) FROM kept
        WHERE organisation_id = q.organisation_id AND reason = q.why))
    WHEN q.why = 'paced' THEN greatest(q.due_at, (SELECT max(ends_at) FROM kept
        WHERE organisation_id = q.organisation_id AND reason = q.why
            AND coalesce(domain, q.domain) = q.domain))
    WHEN q.why IS DISTINCT FROM q.shut THEN q.due_at
    WHEN q.shut = 'resting' THEN greatest(q.due_at, q.shut_until) END
"""

OF_MESSAGE = f"""
WITH {KEPT}, looked AS (SELECT * FROM relay_queueddelivery
    WHERE organisation_id = %(organisation)s AND message_id = %(message)s), {EXPLAINED}
SELECT q.*, {NEXT} AS next_at FROM explained q
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
    def is_in_review(self) -> bool:
        return self.why == QueuedDelivery.Reason.BOUNCES

    @property
    def is_set_aside(self) -> bool:
        return self.why == QueuedDelivery.Reason.QUARANTINED

    @property
    def is_stopped(self) -> bool:
        return self.why == QueuedDelivery.Reason.STOPPED

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
