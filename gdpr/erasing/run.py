# SPDX-License-Identifier: AGPL-3.0-or-later
"""Carrying erasures out when their time has come, and on after whatever stopped them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Least

from accounts import alerts, audit
from accounts.models import User
from accounts.turns import turn
from gdpr.erasing import findings, plan, steps, subject
from gdpr.erasing.steps import Leftover, Work
from gdpr.models import Erasure, ErasureStep, RequestedRight
from gdpr.scan import Scan, ScanIncomplete
from gdpr.subjects import person as subject_of

logger = logging.getLogger(__name__)

State = Erasure.State
Fault = Erasure.Fault
ALERT = "erasure-stuck"
# A fault needs people: it is looked at again at this pace.
PAUSE = timedelta(hours=1)


def due(now: datetime) -> list[UUID]:
    """Return the erasures to carry out now, the oldest first."""
    rows = _unended().filter(due_at__lte=now).order_by("due_at")
    return list(rows.values_list("id", flat=True))


def _unended() -> QuerySet[Erasure]:
    """Return the erasures that are not at their end, without those that staff are assessing."""
    waiting = Q(state=State.WAITING, right__state=RequestedRight.State.ACT)
    return Erasure.objects.filter(waiting | Q(state=State.RUNNING))


def stuck(now: datetime) -> QuerySet[Erasure]:
    """Return the erasures that should have ended an hour ago, or that a fault has stopped."""
    return _unended().filter(Q(due_at__lte=now - PAUSE) | ~Q(fault=Fault.NONE))


def resume(erasure: Erasure, by: User, now: datetime) -> bool:
    """Make a stuck erasure due at once; return whether it was one. Role `staff`."""
    with transaction.atomic():
        found = stuck(now).filter(pk=erasure.pk).update(due_at=Least("due_at", now))
        if found:
            audit.record_installation(by, "erasure.resumed", erasure)
    return bool(found)


def draw_up_plans(now: datetime) -> int:
    """Write the dry run of every new erasure, for its page; return how many.

    One that fails is told and holds up no other.
    """
    rows = Erasure.objects.filter(state=State.WAITING, report={}).select_related("right__request")
    return sum(_try_to_draw_up(erasure, now) for erasure in rows)


def _try_to_draw_up(erasure: Erasure, now: datetime) -> int:
    try:
        with transaction.atomic():
            drawn = _draw_up_plan(erasure, now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the next erasure is none the worse
        logger.error("plan of erasure %s: %s", erasure.pk, type(error).__name__)
        alerts.raise_alert(ALERT, str(erasure.pk))
        return 0
    alerts.resolve_alert(ALERT, str(erasure.pk))
    return drawn


def _draw_up_plan(erasure: Erasure, now: datetime) -> int:
    person = erasure.right.request.person if erasure.right else None
    if person is None:
        return 0
    report = {"plan": plan.plan(subject_of(person), now).as_json()}
    # Not over what a cancellation or the erasure itself has written meanwhile.
    return Erasure.objects.filter(pk=erasure.pk, report={}).update(report=report)


def carry_out(erasure_id: UUID, now: datetime) -> bool:
    """Take all steps that are left; return whether the erasure is done. Harmless when repeated."""
    try:
        if not _begin(erasure_id, now):
            return _is_done(erasure_id)
        while _take_next(erasure_id, now):
            pass
    except Leftover as left:
        steps.take_again(erasure_id, left.findings)
        findings.tell(erasure_id, left.findings)
        return _pause(erasure_id, Fault.LEFTOVER, str(left), now)
    except ScanIncomplete as incomplete:
        return _pause(erasure_id, Fault.UNSEARCHED, str(incomplete), now)
    except Exception as error:  # noqa: BLE001 - whatever it is, people must hear of it
        # Its text can hold what a step worked on: only its kind is kept.
        return _pause(erasure_id, Fault.ERROR, type(error).__name__, now)
    return _is_done(erasure_id)


def _is_done(erasure_id: UUID) -> bool:
    done = Erasure.objects.filter(pk=erasure_id, state=State.DONE).exists()
    if done:
        alerts.resolve_alert(ALERT, str(erasure_id))
    return done


def _begin(erasure_id: UUID, now: datetime) -> bool:
    with transaction.atomic():
        erasure = _locked(erasure_id, State.WAITING, State.RUNNING)
        if erasure is None or erasure.due_at > now:
            return False
        if erasure.state == State.RUNNING:
            return True
        right = _right_to_act_on(erasure)
        if right is None:
            return False
        person = right.request.person
        assert person is not None, "whom an erasure is about goes in its own last steps"
        if not plan.owned_alone(person.pk):
            subject.carry(erasure, person)
            start(erasure, now)
            return True
    return _pause(erasure_id, Fault.LAST_OWNER, "", now)


def _right_to_act_on(erasure: Erasure) -> RequestedRight | None:
    """Return the right behind an erasure, held; None when staff have taken it over meanwhile."""
    rows = RequestedRight.objects.select_for_update(of=("self",)).select_related("request")
    return rows.filter(erasure=erasure, state=RequestedRight.State.ACT).first()


def start(erasure: Erasure, now: datetime) -> None:
    """Turn a new erasure to running: from now on it cannot be cancelled."""
    steps.lay_out(erasure)
    erasure.state, erasure.started_at = State.RUNNING, now
    erasure.save()
    audit.record_installation(None, "erasure.started", erasure)


def _take_next(erasure_id: UUID, now: datetime) -> bool:
    """Take the first step that is not done; return whether one was taken."""
    step = _next_step(erasure_id)
    if step is None:
        return False
    if step.name != steps.SCAN:
        return _take(erasure_id, step, now)
    # Not in a transaction: it takes long, and would hold back upkeep of every table that it reads.
    with turn("erasure-scan") as mine:
        if not mine:
            return False
        made = steps.search(step.erasure, now)
    return _take(erasure_id, step, now, made)


def _next_step(erasure_id: UUID) -> ErasureStep | None:
    rows = ErasureStep.objects.filter(erasure=erasure_id, erasure__state=State.RUNNING)
    return rows.filter(done_at=None).select_related("erasure").first()


def _take(erasure_id: UUID, step: ErasureStep, now: datetime, made: Scan | None = None) -> bool:
    with transaction.atomic():
        erasure = _locked(erasure_id, State.RUNNING)
        # Another worker may have taken it meanwhile.
        if erasure is None or not erasure.steps.filter(pk=step.pk, done_at=None).exists():
            return False
        steps.take(Work(erasure, step, now, made))
    return True


def _locked(erasure_id: UUID, *states: State) -> Erasure | None:
    """Return the erasure, unless another worker is at it."""
    rows = Erasure.objects.select_for_update(skip_locked=True)
    return rows.filter(pk=erasure_id, state__in=states).first()


def _pause(erasure_id: UUID, fault: Fault, where: str, now: datetime) -> bool:
    """Alert people and look again later. `where` names columns, stores, or the kind of an error."""
    logger.error("erasure %s: %s %s", erasure_id, fault, where)
    with transaction.atomic():
        rows = Erasure.objects.select_for_update().filter(pk=erasure_id, ended_at=None)
        erasure = rows.first()
        # Its person may have cancelled it meanwhile.
        if erasure is not None:
            erasure.fault, erasure.due_at = fault, now + PAUSE
            erasure.report = {**erasure.report, steps.STUCK: where}
            erasure.save()
            alerts.raise_alert(ALERT, str(erasure_id))
    return False


def resolve_alerts() -> None:
    """Close the alerts of erasures that are at their end, or cancelled while they were stuck."""
    unended = Erasure.objects.filter(ended_at=None).values_list("pk", flat=True)
    alerts.resolve_others(ALERT, [str(key) for key in unended])
