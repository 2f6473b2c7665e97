# SPDX-License-Identifier: AGPL-3.0-or-later
"""Throughput while so much mail waits, over that of an empty queue (relay-depth).

What waits is not due: it stands in every table and index that a claim, a store and a settlement
touch. It is written by SQL, as nobody waits for a million messages to be sent.
"""

from __future__ import annotations

import statistics
from typing import Any

import psycopg

from tests.bench.lanes import Lane, Side, measure
from tests.bench.rows import Row
from tests.rig.service import DOMAIN, Service

LANE = Lane(name="relay-depth", bar=0.9, reuse=True)
DEPTHS = (100_000, 1_000_000)
BATCH = 100_000
# Ids as the service makes them grow with time; these all lie behind the newest.
SEED = """
WITH house AS (SELECT id FROM accounts_organisation LIMIT 1), waiting AS MATERIALIZED (
    SELECT gen_random_uuid() AS id, house.id AS organisation_id,
        now() - n * interval '1 millisecond' AS accepted_at
    FROM house, generate_series(1, %(count)s) n
), message AS (
    INSERT INTO relay_message (accepted_at, id, organisation_id, sender, size, recipients,
        is_notification, is_sandbox, tls_version, tls_cipher)
    SELECT accepted_at, id, organisation_id, 'hej@' || %(domain)s, 4096, 1, false, false, '', ''
    FROM waiting
), content AS (
    INSERT INTO relay_content (hour_key_id, accepted_at, message_id, organisation_id, wrapped_key,
        ciphertext, sender, body, smtputf8, ret, envid, open_deliveries, is_sandbox)
    SELECT 'seed', accepted_at, id, organisation_id, decode(repeat('00', 60), 'hex'),
        decode(repeat('00', 200), 'hex'), 'hej@' || %(domain)s, '7BIT', false, '', '', 1, false
    FROM waiting
), delivery AS (
    INSERT INTO relay_delivery (accepted_at, message_id, organisation_id, position, recipient,
        state, final_reason, possible_duplicate)
    SELECT accepted_at, id, organisation_id, 1, 'erik@modtager.example', 'waiting', '', false
    FROM waiting
)
INSERT INTO relay_queueddelivery (accepted_at, message_id, organisation_id, position, domain,
    recipient, notify, orcpt, expires_at, due_at, attempts, lane, reason, possible_duplicate, fence)
SELECT accepted_at, id, organisation_id, 1, %(domain)s, 'erik@modtager.example', '', '',
    now() + interval '3 days', now() + interval '1 day', 1, 1, 'deferred', false, 1
FROM waiting
"""


async def depth_rows(service: Service, messages: int, side: Side) -> list[Row]:
    """Measure the empty queue, then each depth."""
    empty = await _rates(messages, side)
    rows, waiting = [], 0
    for depth in DEPTHS:
        seed(service, depth - waiting)
        waiting = depth
        rows.append(_row(depth, await _rates(messages, side), empty))
    return rows


def seed(service: Service, count: int) -> None:
    """Let so many more deliveries wait, and have the planner know of them."""
    with psycopg.connect(service.database_url(), autocommit=True) as superuser:
        for start in range(0, count, BATCH):
            values = {"count": min(BATCH, count - start), "domain": DOMAIN}
            superuser.execute(SEED, values)
        superuser.execute("VACUUM ANALYZE relay_queueddelivery, relay_content")


async def _rates(messages: int, side: Side) -> list[float]:
    (figures,) = await measure(LANE, messages, [side])
    return figures.rates


def _row(depth: int, rates: list[float], empty: list[float]) -> Row:
    ours, reference = statistics.median(rates), statistics.median(empty)
    figures: dict[str, Any] = {"waiting": depth, "rates": rates, "rates_empty": empty}
    return Row(
        name=f"{LANE.name}-{depth}",
        ours=f"{ours:.0f} msg/s",
        reference=f"empty: {reference:.0f} msg/s",
        ratio=f"{ours / reference:.2f}x",
        bar=f">= {LANE.bar}x",
        holds=ours >= LANE.bar * reference,
        details=[f"{LANE.name}-{depth}: rounds {rates}, empty {empty}"],
        figures=figures,
    )
