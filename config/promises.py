# SPDX-License-Identifier: AGPL-3.0-or-later
"""All promises of all apps: looked at, written down for the pages, told when one does not hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from accounts import alerts
from accounts import promises as accounts
from accounts.models import PromiseResult
from accounts.promise import Promise, Result
from dpa import promises as dpa
from gdpr import promises as gdpr
from relay import promises as relay

logger = logging.getLogger(__name__)

PROMISES: tuple[Promise, ...] = (
    *relay.PROMISES,
    *gdpr.PROMISES,
    *dpa.PROMISES,
    *accounts.PROMISES,
)
BROKEN = "promise-broken"  # the alert's kind; its subject is the promise's number


@dataclass(frozen=True, slots=True)
class Outcome:
    promise: Promise
    result: Result


def look(promises: Iterable[Promise] = PROMISES) -> list[Outcome]:
    """Check each promise now, as role `duty`. One whose check fails to run does not hold."""
    return [Outcome(promise, _checked(promise)) for promise in promises]


def _checked(promise: Promise) -> Result:
    try:
        return promise.check()
    except Exception as fault:  # noqa: BLE001 - whatever it is, nothing was shown to hold
        # The fault's own text may quote a row: its kind says enough.
        logger.error("promises: the check of %s failed: %s", promise.id, type(fault).__name__)
        return Result(holds=False, seen=f"the check failed: {type(fault).__name__}")


def record(outcomes: Iterable[Outcome], now: datetime) -> None:
    """Write results down for the proof page; an alert for what does not hold. Role `duty`."""
    for outcome in outcomes:
        promise, result = outcome.promise, outcome.result
        PromiseResult.objects.update_or_create(
            id=promise.id,
            defaults={"holds": result.holds, "seen": result.seen, "checked_at": now},
        )
        tell = alerts.resolve_alert if result.holds else alerts.raise_alert
        tell(BROKEN, promise.id)
    PromiseResult.objects.exclude(id__in=[promise.id for promise in PROMISES]).delete()
