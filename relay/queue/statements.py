# SPDX-License-Identifier: AGPL-3.0-or-later
"""The queue's hot path: the statements that run once per batch of mail, and nothing else.

How mail comes in is in storing.py, and how it ends in settling.py. No ORM, no thread hop and no
publish per message. The instants are the caller's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from relay.queue.arrays import Statement
from relay.queue.claiming import CLAIM, PUT_OFF, PUT_OFF_NEXT
from relay.queue.columns import columns, lists
from relay.queue.connection import Connection
from relay.queue.entries import Ask, Claimed, Leased, Work
from relay.smtp.envelope import Recipient

LEASE = timedelta(seconds=60)
# Larger content is read once it is its turn to use a connection (relay/delivery.py), so that a
# shift never holds gigabytes.
CONTENT_WITH_CLAIM = 64 * 1024
# How much of the index one claim looks at; the next one goes on from there.
ORGANISATIONS_MOST = 500
DOMAINS_MOST = 500

ORGANISATION_KEYS = """
SELECT k.organisation_id, k.sealed, o.queue_lifetime_hours
FROM accounts_organisationkey k JOIN accounts_organisation o ON o.id = k.organisation_id
WHERE k.organisation_id = ANY(%s)
"""


async def organisation_keys(connection: Connection, wanted: Sequence[UUID]) -> list[Any]:
    """Return organisation, sealed key and lifetime in hours of those that have a key."""
    cursor = await connection.execute(ORGANISATION_KEYS, [list(wanted)], prepare=True, binary=True)
    return await cursor.fetchall()


HOUR_KEY = "INSERT INTO relay_hourkey (id) VALUES (%s) ON CONFLICT DO NOTHING"


async def register_hour_key(connection: Connection, identifier: str) -> None:
    """Commit the key's row; nothing may be sealed under a key before."""
    await connection.execute(HOUR_KEY, [identifier])


async def anything_waits(connection: Connection) -> bool:
    """Whether any content is sealed under any hour key."""
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM relay_content)")
    row = await cursor.fetchone()
    return bool(row and row[0])


async def claim(
    connection: Connection, owner: UUID, ask: Ask, now: datetime
) -> psycopg.AsyncCursor[Any]:
    """Lease due deliveries as asked for.

    Returns the cursor: in a pipeline the rows come later; `claimed()` reads them.
    """
    parameters = asked(ask, now) | {
        "owner": owner,
        "until": now + LEASE,
        "inline": CONTENT_WITH_CLAIM,
    }
    return await _CLAIM.execute(connection, parameters, dict_row)


async def put_off(
    connection: Connection, owner: UUID, held: Iterable[tuple[int, int]], now: datetime
) -> psycopg.AsyncCursor[Any]:
    """Strike leased rows that cannot be read, by id and fence; returns the ids still held."""
    parameters = {"owner": owner, "now": now} | columns("id fence", held)
    return await _PUT_OFF.execute(connection, parameters)


async def put_off_next(connection: Connection, ask: Ask, now: datetime) -> psycopg.AsyncCursor[Any]:
    """Strike what a claim would hand out, without reading any of it; returns the ids."""
    return await _PUT_OFF_NEXT.execute(connection, asked(ask, now))


def asked(ask: Ask, now: datetime) -> dict[str, Any]:
    return {
        "now": now,
        "limit": ask.limit,
        "chance": ask.chance,
        "after": ask.after,
        "named": list(ask.named),
        "organisations": ORGANISATIONS_MOST,
        "domains": DOMAINS_MOST,
        "fresh": ask.fresh,
        "fresh_turn": ask.fresh_turn,
        **lists("organisation room", ask.rooms),
        **lists("turn_organisation turn_domain turn_room", ask.turns),
        **lists("left_organisation left_domain", ask.left_out),
        **lists("resume_organisation resume_domain", ask.resume),
    }


async def claimed(cursor: psycopg.AsyncCursor[Any]) -> Claimed:
    """Read what a claim returned: never no row at all, but perhaps one without a delivery."""
    rows, broken = await _readable(cursor)
    if not rows:
        return Claimed(works=(), broken=tuple(broken))
    found = [row for row in rows if row["id"] is not None]
    organisations, domains = rows[0]["back_organisations"] or (), rows[0]["back_domains"] or ()
    # The first word on an organisation counts.
    resume = dict(reversed(list(zip(organisations, domains, strict=True))))
    return Claimed(
        works=tuple(works(found)),
        hungry=frozenset(_hungry(found)),
        seen=rows[0]["seen"],
        resume=tuple(resume.items()),
        broken=tuple(broken),
    )


async def _readable(
    cursor: psycopg.AsyncCursor[Any],
) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Return the rows, and id and fence of those with a value that Python has none for."""
    try:
        return await cursor.fetchall(), []
    except psycopg.DataError:
        rows: list[dict[str, Any]] = []
        broken = []
        for number in range(cursor.rowcount):
            await cursor.scroll(number, mode="absolute")
            try:
                rows += await cursor.fetchmany(1)
            except psycopg.DataError:
                broken.append(_identity(cursor, number))
        return rows, broken


def _identity(cursor: psycopg.AsyncCursor[Any], number: int) -> tuple[int, int]:
    """Read id and fence of a row by their octets (both are bigint)."""
    assert cursor.pgresult is not None
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    values = [cursor.pgresult.get_value(number, names.index(name)) for name in ("id", "fence")]
    return int.from_bytes(values[0] or b""), int.from_bytes(values[1] or b"")


def _hungry(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[UUID, str]]:
    given = Counter((row["organisation_id"], row["domain"]) for row in rows)
    takes = {(row["organisation_id"], row["domain"]): row["take"] for row in rows}
    for turn, take in takes.items():
        # Up to a fifth, rounded up, is kept for a lane that may not have as much.
        if given[turn] >= max(1, take - take // 5 - 1):
            yield turn


def works(rows: Iterable[dict[str, Any]]) -> list[Work]:
    """Group claimed rows by message."""
    return [_work(list(group)) for _, group in groupby(rows, key=itemgetter("message_id"))]


def _work(rows: list[dict[str, Any]]) -> Work:
    first = rows[0]
    return Work(
        message_id=first["message_id"],
        accepted_at=first["accepted_at"],
        organisation_id=first["organisation_id"],
        # Without its content row there is nothing to send either.
        is_sandbox=bool(first["is_sandbox"]),
        require_tls=bool(first["require_tls"]),
        tls_optional=bool(first["tls_optional"]),
        sender=first["sender"] or "",
        domain=first["domain"],
        body=first["body"] or "",
        smtputf8=bool(first["smtputf8"]),
        ret=first["ret"] or "",
        envid=first["envid"] or "",
        hour_key_id=first["hour_key_id"] or "",
        wrapped_key=first["wrapped_key"] or b"",
        ciphertext=first["ciphertext"],
        octets=first["octets"] or 0,
        deliveries=tuple(map(_leased, rows)),
    )


def _leased(row: dict[str, Any]) -> Leased:
    return Leased(
        id=row["id"],
        fence=row["fence"],
        position=row["position"],
        recipient=Recipient(row["recipient"], row["notify"], row["orcpt"]),
        attempts=row["attempts"],
        expires_at=row["expires_at"],
        reason=row["reason"],
        possible_duplicate=row["possible_duplicate"],
        delayed_notice_at=row["delayed_notice_at"],
        is_cancelled=row["cancelled_at"] is not None,
        strikes=row["strikes"],
        is_ending=row["is_ending"],
        is_suspect=row["is_suspect"],
    )


CONTENT = "SELECT ciphertext FROM relay_content WHERE message_id = %s"


async def content(connection: Connection, message_id: UUID) -> psycopg.AsyncCursor[Any]:
    """Read the sealed bytes of one message."""
    return await connection.execute(CONTENT, [message_id], prepare=True, binary=True)


# Every later write names owner and fence: whoever lost the lease changes nothing.
_HELD = """
FROM unnest(%(id)b::bigint[], %(fence)b::bigint[]) held(id, fence)
WHERE q.id = held.id AND q.fence = held.fence AND q.lease_owner = %(owner)s
"""
# One transaction carries a message to several recipients: all of them are marked, or none is, so
# that nobody whose dot never left looks as if it had. The lock settles a race with a cancellation.
MARK = """
WITH held AS MATERIALIZED (
    SELECT q.id, m.message, m.together FROM unnest(%(id)b::bigint[], %(fence)b::bigint[],
        %(message)b::bigint[], %(together)b::bigint[]) m(id, fence, message, together)
    JOIN relay_queueddelivery q ON q.id = m.id AND q.fence = m.fence
        AND q.lease_owner = %(owner)s AND q.cancelled_at IS NULL
    ORDER BY q.id FOR UPDATE OF q
), counted AS MATERIALIZED (
    SELECT id, together, count(*) OVER (PARTITION BY message) AS found FROM held
)
UPDATE relay_queueddelivery q SET dot_at = %(now)s, lease_expires_at = %(until)s
WHERE q.id = ANY(ARRAY(SELECT id FROM counted WHERE found = together))
RETURNING q.id
"""
RENEW = f"""
UPDATE relay_queueddelivery q SET lease_expires_at = %(until)s {_HELD} RETURNING q.id
"""  # noqa: S608 - constants


async def mark_dots(
    connection: Connection, owner: UUID, messages: Iterable[Sequence[Leased]], now: datetime
) -> psycopg.AsyncCursor[Any]:
    """Commit that the final dot of each message is about to leave.

    The ids returned are of messages whose every lease is held and not cancelled.
    """
    rows = [
        (lease.id, lease.fence, number, len(leases))
        for number, leases in enumerate(messages)
        for lease in leases
    ]
    parameters = {"owner": owner, "now": now, "until": now + LEASE}
    parameters |= columns("id fence message together", rows)
    return await _MARK.execute(connection, parameters)


async def renew(
    connection: Connection, owner: UUID, leases: Iterable[Leased], now: datetime
) -> psycopg.AsyncCursor[Any]:
    """Keep leases for another LEASE; the ids returned are those still held."""
    return await _RENEW.execute(connection, _held(owner, leases, now))


def _held(owner: UUID, leases: Iterable[Leased], now: datetime) -> dict[str, Any]:
    pairs = [(lease.id, lease.fence) for lease in leases]
    return {"owner": owner, "now": now, "until": now + LEASE} | columns("id fence", pairs)


# A suspect is begun: whoever takes it over from here on counts that against it.
BEGIN = f"""
UPDATE relay_queueddelivery q SET begun_at = %(now)s {_HELD} RETURNING q.id
"""  # noqa: S608 - constants


async def begin(
    connection: Connection, owner: UUID, leases: Iterable[Leased], now: datetime
) -> psycopg.AsyncCursor[Any]:
    """Commit that suspects are about to be carried; the ids returned are those still held."""
    return await _BEGIN.execute(connection, _held(owner, leases, now))


# A dot that left before the fault may have brought the message there.
STRIKE = """
UPDATE relay_queueddelivery q SET strikes = q.strikes + 1,
    due_at = CASE WHEN q.cancelled_at IS NULL THEN struck.due_at ELSE q.due_at END,
    lane = CASE WHEN struck.reason IS NULL THEN greatest(q.lane, 1) ELSE 2 END,
    reason = coalesce(struck.reason, CASE WHEN q.dot_at IS NULL THEN q.reason ELSE 'uncertain' END),
    possible_duplicate = q.possible_duplicate OR q.dot_at IS NOT NULL,
    lease_owner = NULL, lease_expires_at = NULL, dot_at = NULL, begun_at = NULL
FROM unnest(%(id)b::bigint[], %(fence)b::bigint[], %(due_at)b::timestamptz[],
    %(reason)b::text[]) struck(id, fence, due_at, reason)
WHERE q.id = struck.id AND q.fence = struck.fence AND q.lease_owner = %(owner)s
RETURNING q.id
"""


async def strike(
    connection: Connection, owner: UUID, struck: Iterable[tuple[Leased, datetime, str | None]]
) -> psycopg.AsyncCursor[Any]:
    """Hand back what this service failed at, each with its due time and a reason when there is one.

    The ids returned are those still held.
    """
    rows = [(lease.id, lease.fence, due_at, reason) for lease, due_at, reason in struck]
    parameters = {"owner": owner} | columns("id fence due_at reason", rows)
    return await _STRIKE.execute(connection, parameters)


# Unsent work goes back without counting a try. A row whose dot left is not unsent: it stays
# leased until that runs out, and is flagged then.
RELEASE = """
UPDATE relay_queueddelivery q SET lease_owner = NULL, lease_expires_at = NULL, begun_at = NULL,
    due_at = coalesce(back.due_at, q.due_at), reason = coalesce(back.reason, q.reason)
FROM unnest(%(id)b::bigint[], %(fence)b::bigint[], %(due_at)b::timestamptz[],
    %(reason)b::text[]) back(id, fence, due_at, reason)
WHERE q.id = back.id AND q.fence = back.fence AND q.lease_owner = %(owner)s AND q.dot_at IS NULL
RETURNING q.id
"""


async def release(
    connection: Connection,
    owner: UUID,
    back: Iterable[tuple[Leased, datetime | None, str | None]],
) -> psycopg.AsyncCursor[Any]:
    """Hand leases back unsent, each with a new due time and a reason when there is one."""
    rows = [(lease.id, lease.fence, due_at, reason) for lease, due_at, reason in back]
    parameters = {"owner": owner} | columns("id fence due_at reason", rows)
    return await _RELEASE.execute(connection, parameters)


_CLAIM, _PUT_OFF, _PUT_OFF_NEXT = Statement(CLAIM), Statement(PUT_OFF), Statement(PUT_OFF_NEXT)
_MARK, _RENEW, _BEGIN = Statement(MARK), Statement(RENEW), Statement(BEGIN)
_STRIKE, _RELEASE = Statement(STRIKE), Statement(RELEASE)
