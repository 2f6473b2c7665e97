# SPDX-License-Identifier: AGPL-3.0-or-later
"""How accepted mail is written: log, queue, content and figures, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from random import SystemRandom

from relay.queue.arrays import Statement
from relay.queue.columns import Sealed, delivery_columns, message_columns
from relay.queue.connection import Connection

# One statement is one transaction and one round trip. The share lock holds the destroyer of hour
# keys off until the commit; a key that was closed first makes every INSERT empty.
STORE = """
WITH hour_key AS MATERIALIZED (
    SELECT id FROM relay_hourkey WHERE id = %(hour_key)s AND closed_at IS NULL FOR SHARE
), message AS (
    INSERT INTO relay_message (accepted_at, id, organisation_id, credential_id, sender, size,
        recipients, is_notification, is_sandbox, tls_version, tls_cipher, profile, subject,
        header_hash)
    SELECT m.* FROM hour_key, unnest(%(accepted_at)b::timestamptz[], %(id)b::uuid[],
        %(organisation)b::uuid[], %(credential)b::uuid[], %(logged_sender)b::text[],
        %(size)b::bigint[], %(recipients)b::bigint[], %(is_notification)b::boolean[],
        %(is_sandbox)b::boolean[], %(tls_version)b::text[], %(tls_cipher)b::text[],
        %(profile)b::text[], %(subject)b::text[], %(header_hash)b::bytea[]) m
), header AS (
    INSERT INTO relay_messageheader (accepted_at, message_id, organisation_id, header)
    SELECT h.* FROM hour_key, unnest(%(accepted_at)b::timestamptz[], %(id)b::uuid[],
        %(organisation)b::uuid[], %(header)b::text[]) h(accepted_at, id, organisation, header)
    WHERE h.header IS NOT NULL
), content AS (
    INSERT INTO relay_content (hour_key_id, accepted_at, message_id, organisation_id, wrapped_key,
        ciphertext, sender, body, smtputf8, ret, envid, open_deliveries,
        is_sandbox, require_tls, tls_optional)
    SELECT hour_key.id, c.* FROM hour_key, unnest(%(accepted_at)b::timestamptz[], %(id)b::uuid[],
        %(organisation)b::uuid[], %(wrapped_key)b::bytea[], %(ciphertext)b::bytea[],
        %(sender)b::text[], %(body)b::text[], %(smtputf8)b::boolean[], %(ret)b::text[],
        %(envid)b::text[], %(recipients)b::bigint[], %(is_sandbox)b::boolean[],
        %(require_tls)b::boolean[], %(tls_optional)b::boolean[]) c
), delivery AS (
    INSERT INTO relay_delivery (accepted_at, message_id, organisation_id, position, recipient,
        display_name, tells_failure, state, final_reason, possible_duplicate)
    SELECT d.*, 'waiting', '', false FROM hour_key, unnest(%(d_accepted_at)b::timestamptz[],
        %(d_message)b::uuid[], %(d_organisation)b::uuid[], %(d_position)b::bigint[],
        %(d_logged)b::text[], %(d_name)b::text[], %(d_tells_failure)b::boolean[]) d
), counted AS (
    INSERT INTO relay_count AS c (organisation_id, span, starts_at, domain, part, messages, octets,
        accepted)
    SELECT n.organisation, 5, n.starts_at, n.domain, %(part)s, count(*), sum(n.size),
        sum(n.recipients)
    FROM hour_key, (SELECT organisation, date_bin('5 minutes', accepted_at, 'epoch') AS starts_at,
            domain, size, recipients
        FROM unnest(%(organisation)b::uuid[], %(accepted_at)b::timestamptz[], %(domain)b::text[],
            %(size)b::bigint[], %(recipients)b::bigint[])
            m(organisation, accepted_at, domain, size, recipients)) n
    GROUP BY 1, 3, 4 ORDER BY 1, 3, 4
    ON CONFLICT (organisation_id, span, starts_at, domain, part) DO UPDATE SET
        messages = c.messages + excluded.messages, octets = c.octets + excluded.octets,
        accepted = c.accepted + excluded.accepted
), queued AS (
    INSERT INTO relay_queueddelivery (accepted_at, message_id, organisation_id, position,
        domain, recipient, notify, orcpt, expires_at, due_at, attempts, lane, reason,
        possible_duplicate, fence)
    SELECT d.*, d.accepted_at, 0, 0, 'new', false, 0 FROM hour_key, unnest(
        %(d_accepted_at)b::timestamptz[], %(d_message)b::uuid[], %(d_organisation)b::uuid[],
        %(d_position)b::bigint[], %(d_domain)b::text[], %(d_recipient)b::text[],
        %(d_notify)b::text[], %(d_orcpt)b::text[], %(d_expires_at)b::timestamptz[])
        d(accepted_at, message_id, organisation, position, domain, recipient, notify, orcpt,
        expires_at)
)
SELECT count(*) FROM hour_key
"""


PARTS = 2**15


def a_part() -> int:
    """Return a part of the figures that nobody else writes, as far as chance has it."""
    return SystemRandom().randrange(PARTS)


async def store(
    connection: Connection,
    hour_key_id: str,
    sealed: Sequence[Sealed],
    part: int,
) -> bool:
    """Write messages, their deliveries, content and queue rows; False when the key is closed.

    `part`: of the figures, see relay.models.Count.
    """
    parameters = {"hour_key": hour_key_id, "part": part}
    parameters |= message_columns(sealed) | delivery_columns(sealed)
    cursor = await _STORE.execute(connection, parameters)
    row = await cursor.fetchone()
    return bool(row and row[0])


_STORE = Statement(STORE)
