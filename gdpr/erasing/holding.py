# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure had to leave, row by row: it goes when no law holds it any more. Role `duty`.

Each night a row whose time is over is deleted or emptied, in one transaction with the mark that it
is done; with the last of an erasure its second certificate is made. Whatever stops that, the next
night goes on. A row that was gone and is there again is erased again.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max, QuerySet

from accounts import alerts, audit
from accounts.turns import turn
from gdpr import holds, inventory, ledger, subjects
from gdpr.deadlines import day_of
from gdpr.erasing import completion, erasers, plan
from gdpr.models import Erasure, HeldRow
from gdpr.registry import Entry, Held, Law
from gdpr.subjects import Subject

logger = logging.getLogger(__name__)

TURN = "held-rows"
STUCK = "held-rows-stuck"
BACK = "held-rows-back"
# A row goes in the night after its last day.
NIGHT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Kept:
    """So many rows of a table; `until_on` is None while the law's time has not begun."""

    title: str
    rows: int
    law: str
    until_on: date | None
    done_on: date | None


def write_down(erasure: Erasure, about: Subject) -> None:
    """Write down the rows that a law keeps, before anything goes: then nothing leads to them."""
    rows = [
        HeldRow(erasure=erasure, model=entry.model, key=str(key), law=law, until_on=until_on)
        for entry, law, ends in plan.held(about)
        for key, until_on in ends.items()
    ]
    # After a restore the erasure may be one that had written some of them.
    HeldRow.objects.bulk_create(rows, ignore_conflicts=True)


def release_all(now: datetime) -> int:
    """Do what is due for every erasure that holds something; return how many ended with it.

    One that fails is told and holds up no other.
    """
    with turn(TURN) as mine:
        if not mine:
            return 0
        erase_again(now)
        waiting = Erasure.objects.filter(state=Erasure.State.DONE, completed_at=None)
        keys = list(waiting.order_by("ended_at").values_list("pk", flat=True))
        return sum(_tried(key, now) for key in keys)


def release(erasure_id: UUID, now: datetime) -> bool:
    """Let go of what no law holds; return whether that was the last. Harmless when repeated."""
    for held in HeldRow.objects.filter(erasure=erasure_id, done_at=None):
        _look_at(held.pk, now)
    return _complete(erasure_id, now)


def erase_again(now: datetime) -> int:
    """Erase what was gone and is there again, as after a restore; return how many rows there were.

    People are told before a row goes: whoever comes after a crash finds no trace of it. A row that
    a law holds now is another one, which a hand has put there, and is left to them.
    """
    found = returned()
    if found:
        alerts.raise_alert(BACK)
    else:
        alerts.resolve_alert(BACK)
    for row in found:
        _erase_again(row, now)
    return len(found)


def returned() -> list[HeldRow]:
    """Return the rows that were erased when no law held them any more, and are there."""
    done = defaultdict[str, list[HeldRow]](list)
    for row in HeldRow.objects.exclude(done_at=None):
        done[row.model].append(row)
    return [
        row
        for model, rows in done.items()
        for keys in [erasers.left(*held_by(model), [row.key for row in rows])]
        for row in rows
        if row.key in keys
    ]


def last_day(erasure: Erasure) -> date | None:
    """Return until when the last row is kept; None when none is, or one has no end yet."""
    held = erasure.held.filter(done_at=None)
    last: date | None = held.aggregate(last=Max("until_on"))["last"]
    return None if held.filter(until_on=None).exists() else last


def overdue(now: datetime) -> QuerySet[HeldRow]:
    """Return the rows that should have gone last night."""
    return HeldRow.objects.filter(done_at=None, until_on__lt=day_of(now) - NIGHT)


def progress(erasure: Erasure) -> list[Kept]:
    """Return what is or was held, in the active language: for each law and day, how many rows."""
    rows = erasure.held.values_list("model", "law", "until_on", "done_at__date")
    lines = sorted(Counter(rows).items(), key=str)
    return [
        Kept(str(inventory.entry(model).title), count, str(Law(law).label), until_on, done_on)
        for (model, law, until_on, done_on), count in lines
    ]


def held_by(model: str) -> tuple[Entry, Held]:
    """Return a table's entry, and by what its rows are held. Raises KeyError."""
    entry = inventory.entry(model)
    if entry.held is None:
        raise KeyError(model)
    return entry, entry.held


def _erase_again(row: HeldRow, now: datetime) -> None:
    """Erase a row that is back and record it, both or neither. One that fails holds up no other."""
    try:
        with transaction.atomic():
            if _ended(row, day_of(now)):
                erasers.release(*held_by(row.model), [row.key])
                audit.record_installation(None, "erasure.held-erased-again", row.erasure)
    except Exception as error:  # noqa: BLE001 - the alert stands for as long as the row is there
        logger.error("row back of erasure %s: %s", row.erasure_id, type(error).__name__)


def _tried(erasure_id: UUID, now: datetime) -> bool:
    try:
        done = release(erasure_id, now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next erasure is none the worse
        logger.error("held rows of erasure %s: %s", erasure_id, type(error).__name__)
        alerts.raise_alert(STUCK, str(erasure_id))
        return False
    alerts.resolve_alert(STUCK, str(erasure_id))
    return done


def _look_at(pk: int, now: datetime) -> None:
    """Erase a row when its time is over; write down until when it is kept where that is new."""
    with transaction.atomic():
        row = HeldRow.objects.select_for_update().get(pk=pk)
        if row.done_at is not None:
            return
        before = row.until_on
        if _ended(row, day_of(now)):
            erasers.release(*held_by(row.model), [row.key])
            row.until_on, row.done_at = row.until_on or day_of(now), now
        if (row.until_on, row.done_at) != (before, None):
            row.save(update_fields=["until_on", "done_at"])


def _ended(row: HeldRow, today: date) -> bool:
    """Say whether no law holds a row any more, or it is gone; `until_on` is as the row says now."""
    entry, held = held_by(row.model)
    rows: QuerySet[Any] = subjects.model_of(entry)._default_manager.filter(pk=row.key)
    kept = rows.first()
    if kept is None:
        return True
    row.until_on = holds.ends(held, rows)[kept.pk]
    return holds.has_ended(held, kept, row.until_on, today)


def _complete(erasure_id: UUID, now: datetime) -> bool:
    """Make the second certificate once nothing is held; return whether it was made now."""
    with transaction.atomic():
        rows = Erasure.objects.select_for_update().filter(pk=erasure_id, completed_at=None)
        erasure = rows.filter(state=Erasure.State.DONE).first()
        if erasure is None or erasure.held.filter(done_at=None).exists():
            return False
        ledger.complete(erasure.pk, now)
        completion.certify(erasure, now)
        audit.record_installation(None, "erasure.completed", erasure)
    return True
