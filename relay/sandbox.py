# SPDX-License-Identifier: AGPL-3.0-or-later
"""What becomes of mail that a sandbox credential handed in: decided here, without any server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from relay import outcomes
from relay.models import Delivery, QueuedDelivery
from relay.queue import Leased, Settlement, Tried, Work
from relay.smtp.replies import Outcome, Scope, Verdict

# Ends of a recipient's local part; case does not matter.
BOUNCE = "+bounce"
DEFER = "+defer"

# Not about the recipient: what is simulated must never count against an address.
REFUSED = Outcome(
    verdict=Verdict.BOUNCED,
    scope=Scope.POLICY,
    code=550,
    enhanced="5.1.1",
    text="simulated in the sandbox: no server was asked",
)
DEFERRED = Outcome(
    verdict=Verdict.RETRY,
    scope=Scope.POLICY,
    code=451,
    enhanced="4.2.1",
    text="simulated in the sandbox: no server was asked",
)


def settled(work: Work, lease: Leased, now: datetime, random: Callable[[], float]) -> Settlement:
    """Decide what becomes of a delivery: refused, put off once, or sandboxed; never delivered."""
    local = lease.recipient.address.rpartition("@")[0].lower()
    if local.endswith(BOUNCE):
        return _simulated(work, lease, REFUSED, now, random)
    if local.endswith(DEFER) and not lease.attempts:
        return _simulated(work, lease, DEFERRED, now, random)
    return Settlement(delivery=lease, state=Delivery.State.SANDBOXED, at=now)


def _simulated(
    work: Work, lease: Leased, outcome: Outcome, now: datetime, random: Callable[[], float]
) -> Settlement:
    tried = Tried(started_at=now, finished_at=now, outcome=outcome)
    settlement = outcomes.judged(work, lease, tried, random)
    waits = settlement.state == Delivery.State.WAITING
    why = QueuedDelivery.Reason.SIMULATED if waits else Delivery.FinalReason.SIMULATED
    return replace(settlement, reason=why)
