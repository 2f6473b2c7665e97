# SPDX-License-Identifier: AGPL-3.0-or-later
"""How an own mail server was found last, kept on its route for people to read. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from relay.smtp.replies import Outcome, Stage
from relay.transports import RouteTarget

# Where a dialogue ends that never came to any mail.
BEFORE_MAIL = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
# The same failure is written again after this.
AGAIN = timedelta(minutes=1)

# A route that was changed meanwhile has neither worked nor failed. No words of the server: they may
# hold addresses.
FAILED = """
UPDATE relay_route SET failed_at = %(at)s, failed_code = %(code)s,
    failed_enhanced = %(enhanced)s, failed_stage = %(stage)s
WHERE id = %(route)s AND version = %(version)s
"""
WORKED = """
UPDATE relay_route SET worked_at = %(at)s
WHERE id = %(route)s AND version = %(version)s
    AND (worked_at IS NULL OR worked_at <= failed_at)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was seen of a server; `stage` is None where it was ready for mail."""

    at: datetime
    stage: Stage | None = None
    code: int = 0
    enhanced: str = ""


@dataclass(slots=True)
class Health:
    """What one process has written of late."""

    # By route and version; a route that was changed is another one.
    _failed: dict[tuple[UUID, int], State] = field(default_factory=dict)
    _worked: set[tuple[UUID, int]] = field(default_factory=set)

    def news(self, target: RouteTarget, outcome: Outcome, now: datetime) -> State | None:
        """Return what is to be written of a try; None where it says nothing new."""
        # What a message asks for beyond the route says nothing about the route.
        if target.kind != "own" or target.is_demanded:
            return None
        key = target.route_id, target.version
        if outcome.stage not in BEFORE_MAIL:
            is_known = target.is_proven or key in self._worked
            failed = self._failed.pop(key, None)
            self._worked.add(key)
            return None if is_known and not failed else State(at=now)
        self._worked.discard(key)
        state = State(
            at=now, stage=outcome.stage, code=outcome.code, enhanced=outcome.enhanced[:12]
        )
        last = self._failed.get(key)
        if last and _alike(last, state) and now - last.at < AGAIN:
            return None
        self._failed[key] = state
        return state


def _alike(one: State, other: State) -> bool:
    return (one.stage, one.code, one.enhanced) == (other.stage, other.code, other.enhanced)


async def write(
    connection: psycopg.AsyncConnection[Any], target: RouteTarget, state: State
) -> None:
    """Keep it on the route, unless that was changed meanwhile."""
    values = {
        "route": target.route_id,
        "version": target.version,
        "at": state.at,
        "stage": state.stage,
        "code": state.code,
        "enhanced": state.enhanced,
    }
    await connection.execute(FAILED if state.stage else WORKED, values)
