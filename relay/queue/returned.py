# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was told of mail after it had left: statements on the log, none of them per message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from accounts.ids import uuid7_time
from relay.discretion import Restricted
from relay.models.messages import LOG_DAYS
from relay.queue.connection import Connection

# The same once more, because the other side had no answer, is no news. A provider's reports can be
# sent again by whoever saw one; they are news once.
SAME_WITHIN = timedelta(hours=24)
ALWAYS_SAME = "esp"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDelivery:
    """One delivery as the log has it, with what of its message decides who is told."""

    message_id: UUID
    organisation_id: UUID
    position: int
    recipient: str
    state: str
    sender: str  # in lower case: the log is searched by it
    tells_failure: bool

    @property
    def accepted_at(self) -> datetime:
        """The day that the row is found in."""
        return uuid7_time(self.message_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What a report says, as it is logged; addresses masked."""

    source: str
    kind: str
    scope: str
    is_hard: bool
    code: int
    enhanced: str
    reply: str


# The lock lets reports about one delivery come one after the other, from whatever process.
DELIVERIES = """
SELECT m.organisation_id, d.position, d.recipient, d.state, m.sender, d.tells_failure
FROM relay_message m JOIN relay_delivery d ON d.accepted_at = m.accepted_at AND d.message_id = m.id
WHERE m.accepted_at = %(accepted_at)s AND m.id = %(message)s
    AND d.accepted_at = %(accepted_at)s AND d.message_id = %(message)s
ORDER BY d.position FOR UPDATE OF d
"""


async def deliveries(connection: Connection, message_id: UUID) -> list[LoggedDelivery]:
    """Return a message's deliveries, locked; none when the log has forgotten it."""
    parameters = {"accepted_at": uuid7_time(message_id), "message": message_id}
    rows = await (await connection.execute(DELIVERIES, parameters)).fetchall()
    return [
        LoggedDelivery(
            message_id=message_id,
            organisation_id=organisation,
            position=position,
            recipient=recipient,
            state=state,
            sender=sender,
            tells_failure=tells_failure,
        )
        for organisation, position, recipient, state, sender, tells_failure in rows
    ]


REPORT = """
INSERT INTO relay_report (accepted_at, message_id, organisation_id, position, number, received_at,
    source, kind, scope, is_hard, code, enhanced, reply)
SELECT %(accepted_at)s, %(message)s, %(organisation)s, %(position)s, 1 + coalesce(max(number), 0),
    %(now)s, %(source)s::text, %(kind)s::text, %(scope)s, %(is_hard)s, %(code)s, %(enhanced)s,
    %(reply)s
FROM relay_report
WHERE accepted_at = %(accepted_at)s AND message_id = %(message)s AND position = %(position)s
HAVING NOT coalesce(bool_or(source = %(source)s::text AND kind = %(kind)s::text
    AND (is_hard OR NOT %(is_hard)s::boolean) AND received_at > %(since)s), false)
"""


async def report(
    connection: Connection, about: LoggedDelivery, row: ReportRow, now: datetime
) -> bool:
    """Log a report; False, and nothing, when the same was told of late, or worse."""
    parameters = _key(about) | {
        "now": now,
        "since": about.accepted_at if row.source == ALWAYS_SAME else now - SAME_WITHIN,
        "source": row.source,
        "kind": row.kind,
        "scope": row.scope,
        "is_hard": row.is_hard,
        "code": row.code,
        "enhanced": row.enhanced,
        "reply": row.reply,
    }
    cursor = await connection.execute(REPORT, parameters)
    return cursor.rowcount == 1


def _key(about: LoggedDelivery) -> dict[str, object]:
    return {
        "accepted_at": about.accepted_at,
        "message": about.message_id,
        "organisation": about.organisation_id,
        "position": about.position,
    }


CAME_BACK = """
WITH ended AS (
    UPDATE relay_delivery SET state = 'bounced', final_reason = 'returned', finished_at = %(now)s
    WHERE accepted_at = %(accepted_at)s AND message_id = %(message)s AND position = %(position)s
        AND state = 'delivered'
    RETURNING accepted_at, message_id, organisation_id, position, state
)
INSERT INTO relay_ending (accepted_at, message_id, organisation_id, position, state)
SELECT * FROM ended ON CONFLICT (accepted_at, message_id, position) DO NOTHING
"""


async def came_back(connection: Connection, about: LoggedDelivery, now: datetime) -> None:
    """Log that what was taken has come back: a delivered mail is one no more."""
    await connection.execute(CAME_BACK, _key(about) | {"now": now})


COUNT = """
INSERT INTO relay_count AS c (organisation_id, span, starts_at, domain, part, returned,
    returned_hard, complained)
VALUES (%(organisation)s, 5, date_bin('5 minutes', %(now)s, 'epoch'), %(domain)s, %(part)s,
    %(returned)s, %(returned_hard)s, %(complained)s)
ON CONFLICT (organisation_id, span, starts_at, domain, part) DO UPDATE SET
    returned = c.returned + excluded.returned,
    returned_hard = c.returned_hard + excluded.returned_hard,
    complained = c.complained + excluded.complained
"""


async def count(
    connection: Connection,
    organisation_id: UUID,
    domain: str,
    now: datetime,
    part: int,
    *,
    is_complaint: bool,
    is_hard: bool,
) -> None:
    """Count a mail of a domain (as A-label) that came back, or a complaint about one.

    `is_hard`: it came back because there is no such address.
    """
    parameters = {
        "organisation": organisation_id,
        "domain": domain,
        "now": now,
        "part": part,
        "returned": int(not is_complaint),
        "returned_hard": int(is_hard and not is_complaint),
        "complained": int(is_complaint),
    }
    await connection.execute(COUNT, parameters)


RESTRICTED = """
SELECT address_hash FROM relay_restriction
WHERE organisation_id = %(organisation)s AND lifted_at IS NULL
"""


async def restricted(connection: Connection, organisation_id: UUID) -> Restricted:
    """Return the addresses that an organisation must not use."""
    cursor = await connection.execute(RESTRICTED, {"organisation": organisation_id})
    return Restricted(organisation_id, frozenset(bytes(one) for (one,) in await cursor.fetchall()))


# Who complained, or was added by a person, is left alone for good, whatever bounces meanwhile.
# A recipient's own wish is told as one, whoever had put the address there before.
SUPPRESS = """
INSERT INTO relay_suppression AS s (id, organisation_id, address_hash, address, address_until,
    domain, reason, created_at, expires_at, hits)
VALUES (gen_random_uuid(), %(organisation)s, %(hash)s, %(address)s, %(address_until)s, '',
    %(reason)s, %(now)s, %(until)s, 1)
ON CONFLICT (organisation_id, address_hash, domain) DO UPDATE SET hits = s.hits + 1,
    address = excluded.address, address_until = excluded.address_until,
    reason = CASE WHEN excluded.expires_at IS NULL AND s.reason <> 'objection'
        THEN excluded.reason ELSE s.reason END,
    expires_at = CASE WHEN s.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
        THEN greatest(s.expires_at, excluded.expires_at) END
"""


async def suppress(
    connection: Connection,
    about: LoggedDelivery,
    fingerprint: bytes,
    now: datetime,
    *,
    is_complaint: bool,
) -> None:
    """Put a recipient on the organisation's list; a complaint stands until somebody removes it."""
    parameters = {
        "organisation": about.organisation_id,
        "hash": fingerprint,
        "address": about.recipient,
        "address_until": now + timedelta(days=LOG_DAYS),
        "reason": "complaint" if is_complaint else "hard_bounce",
        "now": now,
        "until": None if is_complaint else now + timedelta(days=settings.SUPPRESSION_DAYS),
    }
    await connection.execute(SUPPRESS, parameters)
