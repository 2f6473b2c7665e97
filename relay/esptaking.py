# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes what providers reported in the log. Role relay, with the keyring."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import psycopg
from django.db.models import Q

from accounts.turns import turn
from accounts.vault import VaultError
from relay import feedback, returnpaths
from relay.esp import events
from relay.feedback import Feedback, Taken
from relay.models import EspEvent, Report
from relay.smtp.bounces import Class, classify
from relay.smtp.replies import Scope
from relay.smtp.reports import Action, Reported

logger = logging.getLogger(__name__)

TURN = "relay.take_events"
PAGE = 200  # rows that are opened at once
RUN_SECONDS = 20.0  # of one run; beat asks again

Opened = tuple[UUID, Sequence[feedback.Event]]  # a row's key and what it tells


def take(now: datetime) -> None:
    """Write what was kept in the log, oldest first, and delete what is written.

    Told twice it changes nothing more. A row that tells of mail on its way stays for a later run,
    and so does one that the database will not have; neither keeps the others waiting. Raises
    psycopg.OperationalError, OSError or TimeoutError while the database is away.
    """
    until = time.monotonic() + RUN_SECONDS
    last: EspEvent | None = None
    with turn(TURN) as ours:
        while ours and time.monotonic() < until and (rows := _page(last)):
            done = asyncio.run(_taken([(row.pk, list(_opened(row, now))) for row in rows]))
            EspEvent.objects.filter(pk__in=done).delete()
            last = rows[-1]


def _page(last: EspEvent | None) -> list[EspEvent]:
    rows = EspEvent.objects.order_by("received_at", "id")
    if last is not None:
        later = Q(received_at=last.received_at, id__gt=last.pk)
        rows = rows.filter(Q(received_at__gt=last.received_at) | later)
    return list(rows[:PAGE])


async def _taken(rows: Sequence[Opened]) -> list[UUID]:
    """Return the keys of the rows that are done with."""
    # Mail that is on its way is looked for in the next run: so many rows cannot wait one by one.
    async with feedback.opened(patience=0) as log:
        return [key for key, told in rows if await _all_taken(log, key, told)]


async def _all_taken(log: Feedback, key: UUID, told: Sequence[feedback.Event]) -> bool:
    try:
        taken = [await log.take(event) for event in told]
    except (psycopg.DataError, psycopg.IntegrityError, VaultError) as fault:
        logger.error("reports %s: %s", key, type(fault).__name__)
        return False
    return Taken.LATER not in taken


def _opened(row: EspEvent, now: datetime) -> Iterator[feedback.Event]:
    """Yield what a row tells of mail that is known; what names none of ours is nothing."""
    try:
        found = events.unseal(bytes(row.sealed), row.organisation_id)
    except VaultError:
        # Its key went with the organisation's: nobody can read it any more.
        logger.error("reports %s of route %s cannot be opened", row.pk, row.route_id)
        return
    for event in found:
        path = returnpaths.read(event.token, now)
        if path is not None:
            yield _event(event, path, row.organisation_id)


def _event(
    event: events.Event, path: returnpaths.ReturnPath, organisation_id: UUID
) -> feedback.Event:
    judged = _judged(event)
    return feedback.Event(
        message_id=path.message_id,
        position=path.position,
        organisation_id=organisation_id,
        source=Report.Source.ESP.value,
        kind=event.kind,
        addresses=(event.recipient,) if event.recipient else (),
        scope=judged.scope.value,
        is_hard=judged.is_hard,
        code=event.code,
        enhanced=event.enhanced,
        text=event.text,
    )


def _judged(event: events.Event) -> Class:
    """Judge by the other server's words where there are any, else as the provider does.

    What a provider calls permanent or hard may be a filter, or that it tried long enough. What it
    calls soft is not hard, whatever the words are.
    """
    as_told = Class(Scope(event.scope), bool(event.is_hard))
    is_said = event.is_quoted and (event.code or event.enhanced or event.text)
    if event.kind != Report.Kind.FAILED or not is_said:
        return as_told
    if as_told.scope is not Scope.RECIPIENT:
        return as_told  # on the provider's list, or its own fault: nobody else was asked
    by_words = classify(
        Reported(
            action=Action.FAILED,
            addresses=(event.recipient,) if event.recipient else (),
            code=event.code,
            enhanced=event.enhanced,
            text=event.text,
        )
    )
    return by_words if event.is_hard is not False else replace(by_words, is_hard=False)
