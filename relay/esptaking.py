# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes what providers reported in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from accounts.vault import VaultError
from relay import feedback, returnpaths
from relay.esp import events
from relay.feedback import Feedback, Taken
from relay.models import EspEvent, Report
from relay.smtp.bounces import Class, classify
from relay.smtp.replies import Scope
from relay.smtp.reports import Action, Reported

logger = logging.getLogger(__name__)

# Rows of one run, and how long one is kept whose mail is not in the log yet.
MOST = 500
PATIENCE = timedelta(hours=1)


def take(now: datetime) -> None:
    """Write what was kept in the log, oldest first.

    Told twice it changes nothing more, so a row goes once all of it is written.
    """
    rows = list(EspEvent.objects.order_by("received_at", "id")[:MOST])
    if rows:
        done = asyncio.run(_taken([(row, list(_opened(row, now))) for row in rows], now))
        EspEvent.objects.filter(pk__in=done).delete()


async def _taken(
    rows: Sequence[tuple[EspEvent, Sequence[feedback.Event]]], now: datetime
) -> list[UUID]:
    """Return the keys of the rows that are done with."""
    async with feedback.opened() as log:
        return [
            row.pk
            for row, told in rows
            if await _all_taken(log, told) or row.received_at < now - PATIENCE
        ]


async def _all_taken(log: Feedback, told: Sequence[feedback.Event]) -> bool:
    taken = [await log.take(event) for event in told]
    return Taken.LATER not in taken


def _opened(row: EspEvent, now: datetime) -> Iterator[feedback.Event]:
    """Yield what a row tells of mail that is known; what names none of ours is nothing."""
    try:
        found = events.unseal(bytes(row.sealed), row.organisation_id)
    except VaultError:
        # Its key went with the organisation's: nobody can read it any more.
        logger.error("reports of route %s cannot be opened", row.route_id)
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
        source=Report.Source.ESP,
        kind=event.kind,
        addresses=(event.recipient,) if event.recipient else (),
        scope=str(judged.scope),
        is_hard=judged.is_hard,
        code=event.code,
        enhanced=event.enhanced,
        text=event.text,
    )


def _judged(event: events.Event) -> Class:
    """Judge by the other server's words where they say enough, else as the provider does."""
    as_told = Class(Scope(event.scope), event.is_hard)
    if event.kind != Report.Kind.FAILED or not (event.code or event.enhanced):
        return as_told
    if as_told.scope is not Scope.RECIPIENT:
        return as_told  # on the provider's list, or its own fault: nobody else was asked
    words = Reported(
        action=Action.FAILED, code=event.code, enhanced=event.enhanced, text=event.text
    )
    return classify(words)
