# SPDX-License-Identifier: AGPL-3.0-or-later
"""Starts the tasks that go on with what one request does not write."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from kombu.exceptions import OperationalError

from relay import scopes, tasks
from relay.scopes import Scope

# A task that nobody took by then is not what the person sees any more.
EXPIRES_SECONDS = 3600


def go_on(task: Any, scope: Scope) -> bool:
    """Start a task about the scope; False when it cannot be started now."""
    values = {"organisation_id": str(scope.organisation_id), "scope_id": scopes.sealed(scope)}
    try:
        task.apply_async(kwargs=values, expires=EXPIRES_SECONDS, retry=False)
    except OperationalError:
        return False
    return True


def send_what_waited(organisation_id: UUID) -> None:
    """Have the rest of what waited for a route made due; without Redis its turn comes anyway.

    Shifts go on with a route that they know for two seconds (relay/routing.py), and may put mail
    off by it: that is made due as well.
    """

    def start() -> None:
        with suppress(OperationalError):
            tasks.send_what_waited.apply_async(
                kwargs={"organisation_id": str(organisation_id)},
                countdown=3,
                expires=EXPIRES_SECONDS,
                retry=False,
            )

    transaction.on_commit(start)


def cancel_suppressed(suppression_id: UUID) -> None:
    """Have mail cancelled that waits for an address; without Redis it is refused or tried."""
    _soon(tasks.cancel_suppressed, suppression_id=str(suppression_id))


def cancel_imported(organisation_id: UUID) -> None:
    """Have mail cancelled that waits for what was imported; without Redis it is tried."""
    _soon(tasks.cancel_imported, organisation_id=str(organisation_id))


def settle_holds() -> None:
    """Have done at once what the sweep does within a minute."""
    _soon(tasks.settle_holds, expires=60)


def _soon(task: Any, expires: int = EXPIRES_SECONDS, **ids: str) -> None:
    """Start a task once the request's transaction is there for it to see."""

    def start() -> None:
        with suppress(OperationalError):
            task.apply_async(kwargs=ids, expires=expires, retry=False)

    transaction.on_commit(start)
