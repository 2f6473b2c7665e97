# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a delivery ends, or goes on waiting: queue, content, log and figures, in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from relay.models import messages
from relay.queue.arrays import Statement
from relay.queue.columns import columns
from relay.queue.connection import Connection
from relay.queue.entries import SETTLED, Settlement, Work

# Locks are taken in one order (queue rows by id, content by message), so that two shifts that
# settle recipients of the same messages never wait for each other in a circle. They are statements
# of their own: where SETTLE itself had to wait, and what it waited for had changed (EvalPlanQual),
# a plan that began at the log found nothing more in `held`, and the log stayed as it was.
LOCK_QUEUED = """
SELECT FROM relay_queueddelivery WHERE id = ANY(%(id)b::bigint[]) ORDER BY id FOR UPDATE
"""
LOCK_CONTENT = """
SELECT FROM relay_content WHERE message_id = ANY(%(message)b::uuid[])
ORDER BY message_id FOR UPDATE
"""
SETTLE = """
WITH held AS MATERIALIZED (
    SELECT q.message_id, q.accepted_at, q.organisation_id, q.position, q.attempts, q.domain,
        q.recipient, q.possible_duplicate OR s.possible_duplicate AS duplicate, s.*
    FROM relay_queueddelivery q JOIN unnest(%(id)b::bigint[], %(fence)b::bigint[],
        %(state)b::text[], %(at)b::timestamptz[], %(due_at)b::timestamptz[], %(reason)b::text[],
        %(possible_duplicate)b::boolean[], %(delayed_notice_at)b::timestamptz[],
        %(suppress)b::bytea[], %(tried)b::boolean[], %(started_at)b::timestamptz[],
        %(finished_at)b::timestamptz[], %(verdict)b::text[], %(remote_host)b::text[],
        %(remote_address)b::text[],
        %(tls_version)b::text[], %(tls_cipher)b::text[], %(tls_verified)b::boolean[],
        %(tls_demand)b::text[], %(tls_result)b::text[], %(kind)b::text[], %(scope)b::text[],
        %(is_hard)b::boolean[], %(code)b::bigint[], %(enhanced)b::text[], %(reply)b::text[])
        s(id, fence, state, at, new_due_at, new_reason, possible_duplicate, delayed_notice_at,
        suppress, tried, started_at, finished_at, verdict, remote_host, remote_address,
        tls_version, tls_cipher, tls_verified, tls_demand, tls_result, kind, scope, is_hard, code,
        enhanced, reply)
        ON q.id = s.id AND q.fence = s.fence AND q.lease_owner = %(owner)s
    ORDER BY q.id FOR UPDATE OF q
), attempt AS (
    INSERT INTO relay_attempt (accepted_at, message_id, organisation_id, position, number,
        started_at, finished_at, verdict, remote_host, remote_address, tls_version, tls_cipher,
        tls_verified, tls_demand, tls_result, kind, scope, is_hard, code, enhanced, reply)
    SELECT accepted_at, message_id, organisation_id, position, attempts + 1, started_at,
        finished_at, verdict, remote_host, remote_address, tls_version, tls_cipher, tls_verified,
        tls_demand, tls_result, kind, scope, is_hard, code, enhanced, reply
    FROM held WHERE tried
), ending AS (
    INSERT INTO relay_ending (accepted_at, message_id, organisation_id, position, state)
    SELECT accepted_at, message_id, organisation_id, position, state FROM held
    WHERE state NOT IN ('waiting', 'delivered')
    ON CONFLICT (accepted_at, message_id, position) DO NOTHING
), figures AS (
    INSERT INTO relay_count AS c (organisation_id, span, starts_at, domain, part, delivered,
        deferred, bounced_hard, bounced_soft, blocked, expired, cancelled, sandboxed)
    SELECT organisation_id, 5, date_bin('5 minutes', at, 'epoch'), domain, %(part)s,
        count(*) FILTER (WHERE state = 'delivered'),
        count(*) FILTER (WHERE state = 'waiting'),
        count(*) FILTER (WHERE state = 'bounced' AND is_hard),
        count(*) FILTER (WHERE state = 'bounced' AND NOT is_hard AND scope <> 'policy'),
        count(*) FILTER (WHERE state = 'bounced' AND NOT is_hard AND scope = 'policy'),
        count(*) FILTER (WHERE state = 'expired'), count(*) FILTER (WHERE state = 'cancelled'),
        count(*) FILTER (WHERE state = 'sandboxed')
    FROM held WHERE tried OR state <> 'waiting'
    GROUP BY 1, 3, 4 ORDER BY 1, 3, 4
    ON CONFLICT (organisation_id, span, starts_at, domain, part) DO UPDATE SET
        delivered = c.delivered + excluded.delivered, deferred = c.deferred + excluded.deferred,
        bounced_hard = c.bounced_hard + excluded.bounced_hard,
        bounced_soft = c.bounced_soft + excluded.bounced_soft,
        blocked = c.blocked + excluded.blocked, expired = c.expired + excluded.expired,
        cancelled = c.cancelled + excluded.cancelled,
        sandboxed = c.sandboxed + excluded.sandboxed
), suppressed AS (
    INSERT INTO relay_suppression AS s (id, organisation_id, address_hash, address, address_until,
        domain, reason, created_at, expires_at, hits)
    SELECT DISTINCT ON (organisation_id, suppress) gen_random_uuid(), organisation_id, suppress,
        lower(recipient), %(address_until)s::timestamptz, '', 'hard_bounce', at,
        %(suppressed_until)s::timestamptz, 1
    FROM held WHERE suppress IS NOT NULL ORDER BY organisation_id, suppress
    ON CONFLICT (organisation_id, address_hash, domain) DO UPDATE SET hits = s.hits + 1,
        address = excluded.address, address_until = excluded.address_until,
        expires_at = CASE WHEN s.expires_at IS NOT NULL
            THEN greatest(s.expires_at, excluded.expires_at) END
), logged AS (
    UPDATE relay_delivery d SET state = held.state, possible_duplicate = held.duplicate,
        finished_at = CASE WHEN held.state <> 'waiting' THEN held.at END,
        final_reason = CASE WHEN held.state <> 'waiting' THEN held.new_reason ELSE '' END
    FROM held WHERE d.accepted_at = held.accepted_at AND d.message_id = held.message_id
        AND d.position = held.position AND d.accepted_at BETWEEN %(first)s AND %(last)s
), again AS (
    UPDATE relay_queueddelivery q SET attempts = q.attempts + held.tried::int,
        due_at = CASE WHEN q.cancelled_at IS NULL THEN held.new_due_at ELSE held.at END,
        reason = held.new_reason, possible_duplicate = held.duplicate,
        delayed_notice_at = coalesce(held.delayed_notice_at, q.delayed_notice_at),
        lane = CASE WHEN held.new_reason = 'quarantined' OR q.cancelled_at IS NOT NULL THEN 2
            ELSE greatest(q.lane, (held.tried OR held.new_reason = 'untold')::int) END,
        strikes = CASE WHEN held.tried THEN 0 ELSE q.strikes END,
        lease_owner = NULL, lease_expires_at = NULL, dot_at = NULL, begun_at = NULL
    FROM held WHERE q.id = held.id AND held.state = 'waiting'
), done AS (
    DELETE FROM relay_queueddelivery q USING held
    WHERE q.id = held.id AND held.state <> 'waiting'
    RETURNING q.message_id
), counted AS MATERIALIZED (
    SELECT c.message_id, c.accepted_at, c.open_deliveries - n.finished AS open
    FROM relay_content c
    JOIN (SELECT message_id, count(*) AS finished FROM done GROUP BY message_id) n
        ON n.message_id = c.message_id
    ORDER BY c.message_id FOR UPDATE OF c
), lessened AS (
    UPDATE relay_content c SET open_deliveries = counted.open
    FROM counted WHERE c.message_id = counted.message_id AND counted.open > 0
), destroyed AS (
    DELETE FROM relay_content c USING counted
    WHERE c.message_id = counted.message_id AND counted.open <= 0
), gone AS MATERIALIZED (
    SELECT message_id, accepted_at FROM counted WHERE open <= 0
), told AS (
    UPDATE relay_message m SET content_destroyed_at = %(now)s
    WHERE m.accepted_at BETWEEN %(first)s AND %(last)s
        AND m.accepted_at = ANY(ARRAY(SELECT accepted_at FROM gone))
        AND m.id = ANY(ARRAY(SELECT message_id FROM gone))
)
SELECT id FROM held
"""


async def settle(
    connection: Connection,
    owner: UUID,
    settled: Sequence[tuple[Work, Settlement]],
    now: datetime,
    part: int,
) -> psycopg.AsyncCursor[Any]:
    """Write what became of deliveries, and destroy the content with the last final state.

    The ids returned are those still held; nothing at all happens for the others. Several
    statements: within a transaction only. `part`: of the figures, see relay.models.Count.
    """
    await _LOCK_QUEUED.execute(connection, {"id": [one.delivery.id for _, one in settled]})
    works = list({work.message_id for work, _ in settled})
    await _LOCK_CONTENT.execute(connection, {"message": works})
    days = [work.accepted_at for work, _ in settled]
    parameters = {
        "owner": owner,
        "now": now,
        "part": part,
        "address_until": now + timedelta(days=messages.LOG_DAYS),
        "suppressed_until": now + timedelta(days=settings.SUPPRESSION_DAYS),
        # Bounds known when the statement starts leave one partition out of all of them.
        "first": min(days),
        "last": max(days),
        **columns(SETTLED, (settlement.row(work) for work, settlement in settled)),
    }
    return await _SETTLE.execute(connection, parameters)


_LOCK_QUEUED, _LOCK_CONTENT = Statement(LOCK_QUEUED), Statement(LOCK_CONTENT)
_SETTLE = Statement(SETTLE)
