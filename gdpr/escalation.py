# SPDX-License-Identifier: AGPL-3.0-or-later
"""Clocks of open requests are watched: staff are told at half, at four fifths, three days before
the promise and when it is broken. A clock that stands still is left alone; a question that was
asked too late does not stop it (deadlines.stands_still). Role `duty`.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import alerts
from gdpr import deadlines, requests
from gdpr.deadlines import Stage
from gdpr.models import RequestedRight, Step

ORDER = ["", *Stage]


def escalate(now: datetime) -> int:
    """Raise what has become due and resolve what was answered; return how many were raised."""
    open_rights = RequestedRight.objects.filter(closed_at=None).select_related("request")
    running = [row for row in open_rights if not requests.stands_still(row, now)]
    raised = sum(_watch(row, now) for row in running)
    for row in RequestedRight.objects.filter(closed_at__isnull=False).exclude(escalated=""):
        _settle(row)
    return raised


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
