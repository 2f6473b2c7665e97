# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clocks of open requests are watched: staff are told at half, at four fifths, three days before
the promise and when it is broken. A clock that stands still is left alone; a question that was
asked too late does not stop it (deadlines.stands_still). Of a question that is not answered the
person is reminded once, and then staff are told: what becomes of it they decide. Role `duty`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from accounts import alerts
from gdpr import deadlines, requests
from gdpr.deadlines import Stage
from gdpr.letters import drafts, writing
from gdpr.models import RequestedRight, Step

ORDER = ["", *Stage]
REMINDED = timedelta(days=7)
# So long after the question staff are told; the reminder says the day.
DECIDED = timedelta(days=21)
UNANSWERED = "request-unanswered"


def escalate(now: datetime) -> int:
    """Raise what has become due and resolve what was answered; return how many were raised."""
    open_rights = RequestedRight.objects.filter(closed_at=None).select_related("request")
    running = [row for row in open_rights if not requests.stands_still(row, now)]
    raised = sum(_watch(row, now) for row in running)
    for row in RequestedRight.objects.filter(closed_at__isnull=False).exclude(escalated=""):
        _settle(row)
    return raised


def remind(now: datetime) -> int:
    """Remind people of questions and tell staff of those without an answer; return how many were
    reminded.
    """
    paused = RequestedRight.objects.filter(state=RequestedRight.State.PAUSED)
    # Who was asked whether a request is theirs need not answer, and is not asked twice.
    paused = paused.exclude(request__proven_at=None)
    questions = [row.steps.filter(kind=Step.Kind.PAUSED).latest("id") for row in paused]
    reminded = sum(_remind(question, now) for question in questions)
    unanswered = [str(one.right_id) for one in questions if now - one.at >= DECIDED]
    for right_id in unanswered:
        alerts.raise_alert(UNANSWERED, right_id)
    alerts.resolve_others(UNANSWERED, unanswered)
    return reminded


def _remind(question: Step, now: datetime) -> bool:
    row = question.right
    done = row.steps.filter(kind=Step.Kind.REMINDED, id__gt=question.pk).exists()
    if done or now - question.at < REMINDED:
        return False
    with transaction.atomic():
        requests.note(row, Step.Kind.REMINDED, requests.SERVICE, now)
        decided_at = max(question.at + DECIDED, now + REMINDED)
        decided_on = deadlines.day_of(decided_at)
        drafts.send(writing.reminder(row, question.reason, decided_on))
    return True


def _watch(row: RequestedRight, now: datetime) -> bool:
    promised_on = requests.clock_of(row, now).promised_on
    stage = deadlines.stage(row.request.received_at, promised_on, now) or ""
    if ORDER.index(stage) < ORDER.index(row.escalated):
        # An extension or an answer has given time back.
        _settle(row)
    if ORDER.index(stage) <= ORDER.index(row.escalated):
        return False
    with transaction.atomic():
        _resolve(row)
        row.escalated = stage
        row.save(update_fields=["escalated"])
        requests.note(row, Step.Kind.ESCALATED, requests.SERVICE, now, reason=stage)
        alerts.raise_alert(_kind(stage), str(row.id))
    return True


def _settle(row: RequestedRight) -> None:
    with transaction.atomic():
        _resolve(row)
        row.escalated = ""
        row.save(update_fields=["escalated"])


def _resolve(row: RequestedRight) -> None:
    if row.escalated:
        alerts.resolve_alert(_kind(row.escalated), str(row.id))


def _kind(stage: str) -> str:
    return f"request-clock-{stage}"
