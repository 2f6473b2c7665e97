# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forgetting by the clock: what the inventory gives a period goes when the period ends.

A plan says what would go; carrying it out takes bounded batches, one commit each, so that a crash
loses no more than one and the next run goes on. Other tasks and processes are kept out by a lock.
"""

from __future__ import annotations

import logging
import pkgutil
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.apps import apps
from django.db import transaction
from django.db.models import Max, Min, Model, QuerySet

from accounts import alerts, clock
from accounts.models import User
from accounts.turns import turn
from gdpr.inventory import timed_entries
from gdpr.models import RetentionGauge, RetentionRun
from gdpr.registry import Cadence, Entry, Forgetting, Keep, Period

logger = logging.getLogger(__name__)

# Rows of one commit: a second's work, so that nobody waits long for a lock.
BATCH = 1000
# How much later than planned a run may be before it counts as missing.
PATIENCE = timedelta(hours=1)
FAILED = "retention-failed"
OVERDUE = "retention-overdue"
LOCK = "gdpr.retention:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a run does to one table, or to the tables that one act forgets together."""

    entries: tuple[Entry, ...]
    due: int

    @property
    def what(self) -> str:
        return self.entries[0].model

    @property
    def keep(self) -> Keep:
        keep = self.entries[0].keep
        assert keep is not None
        return keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a step; `seconds` by the wall."""

    what: str
    rows: int
    seconds: float


def plan(now: datetime, cadence: Cadence | None = None) -> tuple[Step, ...]:
    """Return what the next run of a cadence, or of both, would delete. Deletes nothing."""
    groups = [
        entries for entries in _groups() if cadence is None or _keep(entries[0]).cadence is cadence
    ]
    return tuple(Step(entries=entries, due=_due(entries[0], now)) for entries in groups)


def execute(steps: tuple[Step, ...], now: datetime) -> list[Done]:
    """Carry a plan out; return what came of each step that nobody else was at. Role `duty`.

    A step that fails, whatever the fault, is told and does not keep the others waiting.
    """
    done = []
    for step in steps:
        with turn(f"{LOCK}{step.what}") as ours:
            if ours and (result := _tried(step, now)):
                done.append(result)
    return done


def run(now: datetime, cadence: Cadence) -> list[Done]:
    """Forget what is due in this cadence, then measure every table."""
    done = execute(plan(now, cadence), now)
    measure(now)
    return done


def measure(now: datetime) -> list[RetentionGauge]:
    """Write down how far each table is from the end of its period; alert on any that is past."""
    gauges = [_measured(entry, now) for entry in _measurable()]
    RetentionGauge.objects.exclude(what__in=[gauge.what for gauge in gauges]).delete()
    for gauge in gauges:
        gauge.save()
        tell = alerts.resolve_alert if gauge.holds else alerts.raise_alert
        tell(OVERDUE, gauge.what)
    return gauges


def overdue(now: datetime) -> list[str]:
    """Return the tables that hold something older than its period. Writes nothing."""
    return [gauge.what for gauge in (_measured(e, now) for e in _measurable()) if not gauge.holds]


def silent(now: datetime) -> list[str]:
    """Return the tables that were not looked through in time, those that never were included.

    Before its first run a table's time counts from the first account: without one there is nothing
    to forget.
    """
    began = User.objects.aggregate(first=Min("created_at"))["first"]
    late = []
    for entries in _groups():
        what, cadence = entries[0].model, _keep(entries[0]).cadence
        finished = RetentionRun.objects.filter(what=what).aggregate(last=Max("finished_at"))["last"]
        since = finished or began
        if since is not None and now - since > cadence.value + PATIENCE:
            late.append(what)
    return late


def _measurable() -> list[Entry]:
    return [entry for entry in timed_entries() if _keep(entry).forgetting is not Forgetting.COURSE]


def _groups() -> list[tuple[Entry, ...]]:
    """Return the entries that this module forgets, those of one act together."""
    groups: dict[str, list[Entry]] = {}
    for entry in timed_entries():
        keep = _keep(entry)
        if keep.forgetting in (Forgetting.BATCHES, Forgetting.ACT):
            groups.setdefault(keep.act or entry.model, []).append(entry)
    return [tuple(entries) for entries in groups.values()]


def _keep(entry: Entry) -> Keep:
    assert entry.keep is not None
    return entry.keep


def _period(entry: Entry) -> Period:
    period = _keep(entry).period
    assert period is not None
    return period


def _rows(entry: Entry, now: datetime) -> QuerySet[Model]:
    """Return the rows that reach their period before the next run."""
    keep = _keep(entry)
    limit = now + keep.cadence.value - _period(entry).length
    return _model(entry)._default_manager.filter(**{f"{keep.clock}__lte": limit})


def _due(entry: Entry, now: datetime) -> int:
    keep = _keep(entry)
    if keep.forgetting is Forgetting.BATCHES:
        return _rows(entry, now).count()
    if keep.forgetting is Forgetting.ACT:
        return int(pkgutil.resolve_name(keep.due)(now, keep.cadence.value))
    return 0


def _model(entry: Entry) -> type[Model]:
    return apps.get_model(entry.model)


def _tried(step: Step, now: datetime) -> Done | None:
    try:
        return _carried_out(step, now)
    except Exception as error:  # noqa: BLE001 - acts of other apps fail in any way
        logger.error("retention: %s failed: %s", step.what, type(error).__name__)
        alerts.raise_alert(FAILED, step.what)
        return None


def _carried_out(step: Step, now: datetime) -> Done:
    began = clock.now()
    record = _open_run(step.what, now)
    act = _act if step.keep.forgetting is Forgetting.ACT else _batches
    rows = act(step, record, now)
    record.finished_at = now + (clock.now() - began)
    record.save(update_fields=["rows", "finished_at"])
    alerts.resolve_alert(FAILED, step.what)
    return Done(what=step.what, rows=rows, seconds=(clock.now() - began).total_seconds())


def _open_run(what: str, now: datetime) -> RetentionRun:
    """Return the run that a crash left unfinished, or a new one."""
    record, _ = RetentionRun.objects.get_or_create(
        what=what, finished_at=None, defaults={"started_at": now}
    )
    return record


def _act(step: Step, record: RetentionRun, now: datetime) -> int:
    rows = int(pkgutil.resolve_name(step.keep.act)(now, step.keep.cadence.value))
    record.rows += rows
    return rows


def _batches(step: Step, record: RetentionRun, now: datetime) -> int:
    before = record.rows
    while _batch(step.entries[0], record, now):
        pass
    return record.rows - before


def _batch(entry: Entry, record: RetentionRun, now: datetime) -> int:
    """Delete the oldest rows and count them in the same commit; return how many."""
    with transaction.atomic():
        keys = _rows(entry, now).order_by(_keep(entry).clock).values_list("pk", flat=True)[:BATCH]
        model = _model(entry)
        _, deleted = model._default_manager.filter(pk__in=list(keys)).delete()
        count = deleted.get(model._meta.label, 0)
        record.rows += count
        record.save(update_fields=["rows"])
    return count


def _measured(entry: Entry, now: datetime) -> RetentionGauge:
    oldest = _oldest(entry)
    over = None if oldest is None else int((now - oldest - _period(entry).length).total_seconds())
    return RetentionGauge(
        what=entry.model,
        measured_at=now,
        oldest_at=oldest,
        over_seconds=over,
        due=_due(entry, now),
    )


def _oldest(entry: Entry) -> datetime | None:
    keep = _keep(entry)
    if keep.oldest:
        found: datetime | None = pkgutil.resolve_name(keep.oldest)()
        return found
    rows = _model(entry)._default_manager.exclude(**{keep.clock: None})
    return rows.order_by(keep.clock).values_list(keep.clock, flat=True).first()
