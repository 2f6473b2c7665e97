# SPDX-License-Identifier: AGPL-3.0-or-later
"""A log of so many messages, written by SQL in the order of time, as mail would have written it.

Half of it is one organisation's; its recipients are as unevenly common as people are, three in a
hundred were not delivered, and some wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import psycopg

BATCH = 100_000
HOUSES = 20
RECIPIENTS = 100_000
CREDENTIALS = 5

# Version 7 ids, whose time is the message's to the millisecond (RFC 9562 §5.7). The exponent makes
# the n-th recipient about n times rarer than the first.
MESSAGES = """
CREATE TEMP TABLE seeded ON COMMIT DROP AS
SELECT accepted_at, house, n, random() AS luck,
    (lpad(to_hex((extract(epoch FROM accepted_at) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(n::text || accepted_at), 1, 3) || 'b' || substr(md5(accepted_at || 'x' || n),
        1, 15))::uuid AS id,
    CASE WHEN house = 1 THEN %(big)s::uuid ELSE md5('house' || house)::uuid END AS organisation_id,
    'r' || floor(power(%(recipients)s, random()))::int AS local,
    floor(power(%(credentials)s, random()))::int AS program
FROM (
    SELECT date_trunc('milliseconds', %(since)s::timestamptz
            + (n - %(first)s) * %(step)s::interval) AS accepted_at,
        CASE WHEN random() < 0.5 THEN 1 ELSE 2 + floor(random() * %(others)s)::int END AS house, n
    FROM generate_series(%(first)s, %(last)s) n
) numbered
"""
INTO = (
    """
INSERT INTO relay_message (accepted_at, id, organisation_id, credential_id, sender, size,
    recipients, is_notification, is_sandbox, tls_version, tls_cipher, content_destroyed_at,
    header_hash)
SELECT accepted_at, id, organisation_id, md5(organisation_id || 'program' || program)::uuid,
    'post' || program || '@hus' || house || '.example', 4096, 1, false, false, 'TLSv1.3',
    'TLS_AES_256_GCM_SHA384', CASE WHEN luck >= 0.002 THEN accepted_at END,
    decode(md5(id::text), 'hex')
FROM seeded
""",
    """
INSERT INTO relay_delivery (accepted_at, message_id, organisation_id, position, recipient, state,
    final_reason, finished_at, possible_duplicate)
SELECT accepted_at, id, organisation_id, 0, local || '@modtager.example', {state}, '',
    CASE WHEN luck >= 0.002 THEN accepted_at END, luck > 0.9999 FROM seeded
""",
    """
INSERT INTO relay_attempt (accepted_at, message_id, organisation_id, position, number, started_at,
    finished_at, verdict, remote_host, remote_address, tls_version, tls_cipher, tls_verified, code,
    enhanced, reply)
SELECT accepted_at, id, organisation_id, 0, 1, accepted_at, accepted_at,
    CASE WHEN luck < 0.03 THEN 'bounced' ELSE 'delivered' END, 'mail.modtager.example', '192.0.2.7',
    'TLSv1.3', 'TLS_AES_256_GCM_SHA384', true, 250, '2.0.0', '2.0.0 taken as 4bX7Qk1z9Jz'
FROM seeded
""",
    """
INSERT INTO relay_ending (accepted_at, message_id, organisation_id, position, state)
SELECT accepted_at, id, organisation_id, 0, {state} FROM seeded WHERE luck BETWEEN 0.002 AND 0.03
""",
    """
INSERT INTO relay_queueddelivery (accepted_at, message_id, organisation_id, position, domain,
    recipient, notify, orcpt, expires_at, due_at, attempts, lane, reason, possible_duplicate, fence)
SELECT accepted_at, id, organisation_id, 0, 'hus' || house || '.example',
    local || '@modtager.example', '', '', now() + interval '3 days', now() + interval '1 day', 1, 1,
    'deferred', false, 1 FROM seeded WHERE luck < 0.002 AND %(waits)s
""",
)
STATE = """CASE WHEN luck < 0.002 THEN 'waiting' WHEN luck < 0.003 THEN 'cancelled'
    WHEN luck < 0.01 THEN 'expired' WHEN luck < 0.03 THEN 'bounced' ELSE 'delivered' END"""
TABLES = ("message", "delivery", "attempt", "ending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """How much is to be written, of which days, and who has half of it."""

    messages: int
    days: tuple[date, ...]
    big: UUID
    waits: bool = True  # a day that is to be dropped has nothing that waits

    def batches(self) -> Iterable[dict[str, Any]]:
        """Yield the values of each insert, days in order."""
        a_day = -(-self.messages // len(self.days))
        step = timedelta(days=1) / a_day
        for day in self.days:
            midnight = datetime.combine(day, time(), UTC)
            for first in range(0, a_day, BATCH):
                last = min(first + BATCH, a_day) - 1
                yield {"since": midnight + first * step, "step": step, "first": first, "last": last}


def the_last(days: int) -> tuple[date, ...]:
    """Return so many days, yesterday the last of them."""
    today = datetime.now(UTC).date()
    return tuple(today - timedelta(days=ago) for ago in range(days, 0, -1))


def constants(log: Log) -> dict[str, Any]:
    """Return the values that all inserts of a log share."""
    return {
        "big": log.big,
        "others": HOUSES - 1,
        "recipients": RECIPIENTS,
        "credentials": CREDENTIALS,
        "waits": log.waits,
    }


def seed(url: str, log: Log) -> None:
    """Write a log; the planner knows of it then."""
    values = constants(log)
    # The server takes no parameters where a table is made.
    cursors = psycopg.ClientCursor
    with psycopg.connect(url, autocommit=True, cursor_factory=cursors) as superuser:
        superuser.execute("SET synchronous_commit = off")
        for day in log.days:
            superuser.execute("SELECT relay_create_day(%s)", [day])
        for batch in log.batches():
            with superuser.transaction():
                superuser.execute(MESSAGES, values | batch)
                for statement in INTO:
                    superuser.execute(statement.format(state=STATE), values)
        for day in log.days:
            for table in TABLES:
                superuser.execute(f"VACUUM (ANALYZE, FREEZE) relay_{table}_{day:%Y%m%d}")
        superuser.execute("ANALYZE " + ", ".join(f"relay_{table}" for table in TABLES))
        superuser.execute("VACUUM ANALYZE relay_queueddelivery")
