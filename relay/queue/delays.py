# SPDX-License-Identifier: AGPL-3.0-or-later
"""Leases mail whose sender is to be told of the delay, between its tries; not the hot path.

Held mail is among it, which no claim hands out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from relay.queue.connection import Connection
from relay.queue.entries import Leased, Work
from relay.queue.statements import LEASE
from relay.smtp.envelope import Recipient
from relay.smtp.schedule import DELAY_NOTICE_AFTER

# Messages of an organisation in one look: as many as may be told of in a minute.
MOST = 60
# Of all in one look, the oldest first: they are told of one by one, and are leased meanwhile.
MOST_OF_ALL = 1000
# After an outage that was longer, the next try tells.
WINDOW = timedelta(minutes=30)

# What is set aside or cancelled is told of in its end, or not at all.
DELAYED = """
WITH chosen AS MATERIALIZED (
    SELECT late.message_id FROM accounts_organisation o CROSS JOIN LATERAL (
        SELECT q.message_id, q.accepted_at FROM relay_queueddelivery q
        JOIN relay_content c ON c.message_id = q.message_id AND c.sender <> '' AND NOT c.is_sandbox
        WHERE q.organisation_id = o.id AND q.accepted_at <= %(mark)s AND q.accepted_at > %(since)s
            AND q.delayed_notice_at IS NULL AND q.cancelled_at IS NULL AND q.strikes = 0
            AND q.lane < 2 AND (q.notify = '' OR upper(q.notify) LIKE '%%DELAY%%')
            AND q.expires_at > %(now)s AND q.lease_owner IS NULL
        ORDER BY q.accepted_at LIMIT %(most)s) late
    GROUP BY late.message_id ORDER BY min(late.accepted_at) LIMIT %(most_of_all)s
), free AS MATERIALIZED (
    SELECT q.id FROM chosen JOIN relay_queueddelivery q ON q.message_id = chosen.message_id
    WHERE q.lease_owner IS NULL AND q.delayed_notice_at IS NULL AND q.cancelled_at IS NULL
        AND q.strikes = 0 AND q.lane < 2
    ORDER BY q.id FOR UPDATE OF q SKIP LOCKED
), taken AS (
    UPDATE relay_queueddelivery q SET fence = q.fence + 1, lease_owner = %(owner)s,
        lease_expires_at = %(until)s
    FROM free WHERE q.id = free.id RETURNING q.*
)
SELECT t.id, t.fence, t.organisation_id, t.message_id, t.accepted_at, t.domain, t.position,
    t.recipient, t.notify, t.orcpt, t.attempts, t.expires_at, t.reason, t.possible_duplicate,
    t.due_at, c.sender, c.body, c.smtputf8, c.ret, c.envid, c.hour_key_id, c.is_sandbox,
    c.wrapped_key
FROM taken t JOIN relay_content c ON c.message_id = t.message_id
ORDER BY t.accepted_at, t.message_id, t.position
"""


async def delayed(connection: Connection, owner: UUID, now: datetime) -> psycopg.AsyncCursor[Any]:
    """Lease what passed the mark of the delay notice lately; `works()` reads the rows."""
    mark = now - DELAY_NOTICE_AFTER
    parameters = {"owner": owner, "now": now, "until": now + LEASE, "most": MOST}
    parameters |= {"mark": mark, "since": mark - WINDOW, "most_of_all": MOST_OF_ALL}
    cursor = connection.cursor(row_factory=dict_row, binary=True)
    return await cursor.execute(DELAYED, parameters, prepare=True)


def works(rows: Iterable[dict[str, Any]]) -> list[Work]:
    """Group leased rows by message; none has its content along."""
    return [_work(list(group)) for _, group in groupby(rows, key=itemgetter("message_id"))]


_OF_MESSAGE = (
    *("message_id", "accepted_at", "organisation_id", "domain", "is_sandbox", "sender", "body"),
    *("smtputf8", "ret", "envid", "hour_key_id", "wrapped_key"),
)
_OF_DELIVERY = (
    *("id", "fence", "position", "attempts", "expires_at", "reason", "possible_duplicate"),
    "due_at",
)


def _work(rows: list[dict[str, Any]]) -> Work:
    return Work(
        **{name: rows[0][name] for name in _OF_MESSAGE},
        ciphertext=None,
        deliveries=tuple(map(_leased, rows)),
    )


def _leased(row: dict[str, Any]) -> Leased:
    return Leased(
        **{name: row[name] for name in _OF_DELIVERY},
        recipient=Recipient(row["recipient"], row["notify"], row["orcpt"]),
        delayed_notice_at=None,
    )
