# SPDX-License-Identifier: AGPL-3.0-or-later
"""Alerts: a row, a mail to the operator when it is new, and a banner in the admin while open.

Roles `relay` and `duty` raise them. Kind and subject are names, never an address.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import psycopg
from django.db import connection, models, transaction

from accounts import clock, emails
from accounts.ids import uuid7
from accounts.models import Alert, OutgoingMail

# An alert that was resolved is kept so long; the inventory reads it.
KEPT_DAYS = 90

# xmax is 0 on a row that this very statement has inserted.
RAISE = """
INSERT INTO accounts_alert (id, kind, subject, count, first_at, last_at)
VALUES (%(id)s, %(kind)s, %(subject)s, 1, %(now)s, %(now)s)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
DO UPDATE SET count = accounts_alert.count + 1, last_at = excluded.last_at
RETURNING xmax = 0
"""
MAIL = """
INSERT INTO accounts_outgoingmail (id, kind, sealed, created_at, due_at, attempts, last_error)
VALUES (%s, %s, %s, %s, %s, 0, '')
"""
RESOLVE = """
UPDATE accounts_alert SET resolved_at = %(now)s
WHERE kind = %(kind)s AND subject = %(subject)s AND resolved_at IS NULL
"""


def raise_alert(kind: str, subject: str = "") -> None:
    """Open the alert, or count it once more when it is open."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RAISE, _values(kind, subject))
        (is_new,) = cursor.fetchone()
        if is_new:
            emails.operator_alert(kind, subject).save(force_insert=True)


def resolve_alert(kind: str, subject: str = "") -> None:
    """Close the alert; harmless when none is open."""
    with connection.cursor() as cursor:
        cursor.execute(RESOLVE, _values(kind, subject))


def resolve_others(kind: str, subjects: Collection[str]) -> None:
    """Close the open alerts of a kind but those about `subjects`, which still stand."""
    Alert.objects.filter(kind=kind, resolved_at=None).exclude(subject__in=subjects).update(
        resolved_at=clock.now()
    )


async def raise_alert_on(
    database: psycopg.AsyncConnection[tuple[object, ...]], kind: str, subject: str = ""
) -> None:
    """Do as `raise_alert` on the connection of an asynchronous process."""
    async with database.transaction():
        result = await database.execute(RAISE, _values(kind, subject))
        row = await result.fetchone()
        if row and row[0]:
            await database.execute(MAIL, _mail_values(emails.operator_alert(kind, subject)))


async def resolve_alert_on(
    database: psycopg.AsyncConnection[tuple[object, ...]], kind: str, subject: str = ""
) -> None:
    """Do as `resolve_alert` on the connection of an asynchronous process."""
    await database.execute(RESOLVE, _values(kind, subject))


def open_alerts() -> models.QuerySet[Alert]:
    """Return what the banner shows, newest first. Roles `staff` and `duty`."""
    return Alert.objects.filter(resolved_at=None).order_by("-last_at")


def _values(kind: str, subject: str) -> dict[str, str | UUID | datetime]:
    now = clock.now()
    return {"id": uuid7(now), "kind": kind, "subject": subject[:120], "now": now}


def _mail_values(mail: OutgoingMail) -> list[object]:
    return [mail.id, mail.kind, mail.sealed, mail.created_at, mail.due_at]
