# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each minute: ends what no shift ends, and finds what nobody would find (role duty).

Every look here is bounded and goes along an index, organisation by organisation; what is left over
is there a minute later. `holding.settle` alone is not: it goes on until all is done, in pieces,
and reads all due mail of each organisation that holds the mail to a domain back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts import alerts
from accounts.models import Alert, Organisation
from accounts.models.organisations import QUEUE_HOURS_MIN
from relay import holding
from relay.delivery import QUARANTINED
from relay.models import Delivery, QueuedDelivery
from relay.outcomes import LATE, OWED_MOST
from relay.queue.storing import a_part

logger = logging.getLogger(__name__)

# Of each organisation, in each minute.
MOST = 5000
MINUTE = timedelta(minutes=1)
# Rows of the log are looked at once they should have been in the queue for so long, and once
# nothing of their age may wait any more; each time all that were accepted in so long.
SETTLED_IN = timedelta(minutes=5)
WINDOW = timedelta(minutes=15)

OVERDUE = "mail-overdue"
STRANDED = "log-stranded"
FAILED = "sweep-failed"  # the alert's subject names the step

# A message ends with all of its recipients: only so may its content go (the row counts those that
# are open, and this role may not write that down). One in hand is left to whoever has it. Rows are
# locked in a statement of their own: what somebody changed just before is looked at again in the
# next one, which sees the change as a whole.
_LOCK = """
WITH whole AS MATERIALIZED (
    SELECT DISTINCT waiting.message_id FROM accounts_organisation o CROSS JOIN LATERAL (
        SELECT q.message_id FROM relay_queueddelivery q
        WHERE q.organisation_id = o.id AND {which} ORDER BY q.accepted_at LIMIT %(most)s) waiting
    WHERE {whose}
)
SELECT q.id FROM whole JOIN relay_queueddelivery q ON q.message_id = whole.message_id
WHERE q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s
ORDER BY q.id FOR UPDATE OF q SKIP LOCKED
"""
LOCK_CLOSED = _LOCK.format(which="true", whose="o.standing = %(closed)s")
LOCK_OVERDUE = _LOCK.format(which="q.accepted_at <= %(latest)s", whose="true")
END = """
WITH locked AS MATERIALIZED (
    SELECT q.id, q.message_id, q.accepted_at, q.position, q.organisation_id, q.domain,
        q.possible_duplicate OR q.dot_at IS NOT NULL AS duplicate,
        count(*) OVER (PARTITION BY q.message_id) AS found
    FROM relay_queueddelivery q WHERE q.id = ANY(%(ids)s)
), ended AS MATERIALIZED (
    SELECT locked.* FROM locked WHERE found = (
        SELECT count(*) FROM relay_queueddelivery q WHERE q.message_id = locked.message_id)
), gone AS (
    DELETE FROM relay_queueddelivery q USING ended WHERE q.id = ended.id
), logged AS (
    UPDATE relay_delivery d SET state = %(state)s, final_reason = %(reason)s,
        finished_at = %(now)s, possible_duplicate = ended.duplicate
    FROM ended WHERE d.accepted_at = ended.accepted_at AND d.message_id = ended.message_id
        AND d.position = ended.position
), noted AS (
    INSERT INTO relay_ending (accepted_at, message_id, organisation_id, position, state)
    SELECT accepted_at, message_id, organisation_id, position, %(state)s FROM ended
    ON CONFLICT (accepted_at, message_id, position) DO NOTHING
), figures AS (
    INSERT INTO relay_count AS c (organisation_id, span, starts_at, domain, part, expired,
        cancelled)
    SELECT organisation_id, 5, date_bin('5 minutes', %(now)s, 'epoch'), domain, %(part)s,
        count(*) FILTER (WHERE %(state)s = 'expired'),
        count(*) FILTER (WHERE %(state)s = 'cancelled')
    FROM ended GROUP BY organisation_id, domain ORDER BY organisation_id, domain
    ON CONFLICT (organisation_id, span, starts_at, domain, part) DO UPDATE SET
        expired = c.expired + excluded.expired, cancelled = c.cancelled + excluded.cancelled
), destroyed AS (
    DELETE FROM relay_content c WHERE c.message_id IN (SELECT message_id FROM ended)
    RETURNING c.message_id, c.accepted_at
), told AS (
    UPDATE relay_message m SET content_destroyed_at = %(now)s FROM destroyed
    WHERE m.accepted_at = destroyed.accepted_at AND m.id = destroyed.message_id
)
SELECT count(*) FROM ended
"""

# Neither a hold nor a missing route keeps its lifetime's end from a delivery. What was due long
# ago is not about to be tried; other mail has its last try when its lifetime ends, or soon after.
# An organisation that gave its mail less time before has what ends sooner among its oldest.
_ENDED = """
q.expires_at <= %(ended)s AND least(q.expires_at, q.due_at) <= %(late)s
    AND (q.lease_expires_at IS NULL OR q.lease_expires_at < %(now)s)
"""
GIVE_UP = f"""
WITH late AS MATERIALIZED (
    SELECT waiting.id FROM accounts_organisation o CROSS JOIN LATERAL (
        (SELECT q.id FROM relay_queueddelivery q
        WHERE q.organisation_id = o.id AND q.lane <> %(ending)s AND {_ENDED}
            AND q.accepted_at <= %(ended)s - make_interval(hours => o.queue_lifetime_hours)
        ORDER BY q.accepted_at LIMIT %(most)s)
        UNION SELECT q.id FROM (
            SELECT * FROM relay_queueddelivery q
            WHERE q.organisation_id = o.id AND q.lane <> %(ending)s
                AND q.accepted_at <= %(ended)s - make_interval(hours => %(least)s)
            ORDER BY q.accepted_at LIMIT %(most)s) q
        WHERE {_ENDED}) waiting
), locked AS MATERIALIZED (
    SELECT q.id FROM late JOIN relay_queueddelivery q ON q.id = late.id
    ORDER BY q.id FOR UPDATE OF q SKIP LOCKED
)
UPDATE relay_queueddelivery q SET lane = %(ending)s, due_at = %(now)s
FROM locked WHERE q.id = locked.id
"""  # noqa: S608 - constants

STRANDED_ROWS = """
SELECT count(*) FROM relay_delivery d
WHERE d.accepted_at > %(since)s AND d.accepted_at <= %(until)s AND d.state = 'waiting'
    AND NOT EXISTS (SELECT FROM relay_queueddelivery q
        WHERE q.message_id = d.message_id AND q.position = d.position)
"""


def sweep(now: datetime) -> None:
    """Do one minute's sweep; a step that fails is told, and does not keep the others waiting."""
    steps: dict[str, Callable[[datetime], object]] = {
        "closed": end_closed,
        "overdue": end_overdue,
        "given-up": give_up,
        "holds": holding.settle,
        "stranded": look_for_stranded,
        "quarantines": lambda _: resolve_quarantines(),
    }
    for name, step in steps.items():
        try:
            step(now)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the other steps go on
            logger.error("sweep: %s failed: %s", name, type(fault).__name__)
            alerts.raise_alert(FAILED, name)
        else:
            alerts.resolve_alert(FAILED, name)


def end_closed(now: datetime) -> int:
    """Cancel what waits for organisations that are closed, without a notice; returns how many."""
    ended = {"state": Delivery.State.CANCELLED, "reason": Delivery.FinalReason.CLOSED}
    return _end(LOCK_CLOSED, now, closed=Organisation.Standing.CLOSED, **ended)


def end_overdue(now: datetime) -> int:
    """Expire what no shift could bring to an end; content never outlives that (GDPR 5(1)(e))."""
    ended = {"state": Delivery.State.EXPIRED, "reason": Delivery.FinalReason.NONE}
    count = _end(LOCK_OVERDUE, now, latest=now - OWED_MOST - LATE, **ended)
    if count:
        logger.error("sweep: %d deliveries ended that should have ended by themselves", count)
        alerts.raise_alert(OVERDUE)
    return count


@transaction.atomic
def _end(lock: str, now: datetime, **values: str | datetime) -> int:
    parameters: dict[str, Any] = {"now": now, "most": MOST, "part": a_part(), **values}
    with connection.cursor() as cursor:
        cursor.execute(lock, parameters)
        parameters["ids"] = [identifier for (identifier,) in cursor]
        cursor.execute(END, parameters)
        (count,) = cursor.fetchone()
    return int(count)


def give_up(now: datetime) -> int:
    """Bring mail that nobody takes to its end when its lifetime is over; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            GIVE_UP,
            {
                "now": now,
                "ended": now - MINUTE,
                "late": now - LATE - MINUTE,
                "ending": QueuedDelivery.Lane.ENDING,
                "least": QUEUE_HOURS_MIN,
                "most": MOST,
            },
        )
        return int(cursor.rowcount)


def look_for_stranded(now: datetime) -> int:
    """Tell of deliveries that wait in the log, but not in the queue; returns how many were found.

    Such mail would be lost without a word. Rows are looked at twice while they may wait.
    """
    ages = (SETTLED_IN, OWED_MOST + 2 * LATE)
    count = sum(_stranded(now - age - WINDOW, now - age) for age in ages)
    if count:
        logger.error("sweep: %d deliveries wait in the log and not in the queue", count)
        alerts.raise_alert(STRANDED)
    return count


def _stranded(since: datetime, until: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(STRANDED_ROWS, {"since": since, "until": until})
        (count,) = cursor.fetchone()
    return int(count)


def resolve_quarantines() -> None:
    """Close the alerts about organisations none of whose mail is set aside any more."""
    for subject in Alert.objects.filter(kind=QUARANTINED, resolved_at=None).values_list(
        "subject", flat=True
    ):
        rows = QueuedDelivery.objects.for_organisation(UUID(subject))
        if not rows.filter(reason=QueuedDelivery.Reason.QUARANTINED).exists():
            alerts.resolve_alert(QUARANTINED, subject)
