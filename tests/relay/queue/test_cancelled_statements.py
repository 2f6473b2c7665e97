# SPDX-License-Identifier: AGPL-3.0-or-later
"""Locks and deadlocks that a shift meets: one item's fault, and never an absent database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected

from relay.queue import TookTooLong, statements
from relay.queue import connection as queue_connection
from relay.queue.leases import DEADLOCKS
from tests.relay import mail
from tests.relay.queue.test_leases import claim, holders

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    session = queue_connection._SESSION.replace("'25s'", "'1s'")
    monkeypatch.setattr(queue_connection, "_SESSION", session)


@pytest.mark.usefixtures("_impatient")
def test_lock_that_one_item_waits_for_harms_nobody_else() -> None:
    house, other = mail.organisation(), mail.organisation("Andet Hus A/S")

    async def scenario() -> None:
        await mail.keep(mail.message(house.id), mail.message(other.id))
        async with holders() as (holder,), await mail.session("owner") as blocker:
            first, second = await claim(holder)
            await blocker.execute("BEGIN")
            row = first.deliveries[0].id
            await blocker.execute(f"SELECT FROM relay_queueddelivery WHERE id = {row} FOR UPDATE")
            async with asyncio.timeout(30):
                results = await asyncio.gather(
                    holder.mark_dots(first.deliveries),
                    holder.renew(second.deliveries),
                    return_exceptions=True,
                )
            await blocker.execute("ROLLBACK")
            assert isinstance(results[0], TookTooLong)
            assert results[1] == frozenset([second.deliveries[0].id])
            await holder.mark_dots(first.deliveries)

    mail.run(scenario())


def test_batch_that_is_a_deadlocks_victim_is_tried_again_and_then_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, tries = mail.organisation(), []

    async def marking(connection: Any, owner: Any, messages: Any, now: Any) -> Any:
        tries.append(len(messages))
        if len(messages) > 1:
            raise DeadlockDetected
        return await mark_dots(connection, owner, messages, now)

    mark_dots = statements.mark_dots
    monkeypatch.setattr(statements, "mark_dots", marking)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with holders() as (holder,), asyncio.timeout(30):
            works = await claim(holder)
            await asyncio.gather(*(holder.mark_dots(work.deliveries) for work in works))

    mail.run(scenario())
    assert tries == [2] * DEADLOCKS + [1, 1]
