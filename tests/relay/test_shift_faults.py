# SPDX-License-Identifier: AGPL-3.0-or-later
"""Statements of a shift that the database cancels: what waits for them, and what does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from psycopg.errors import QueryCanceled

from accounts.models import Organisation
from config.stack.state import free_port
from relay import shift as shifts
from relay.queue import Ask, Claimed, Leased, Leases, TookTooLong, statements
from tests.relay import mail
from tests.relay.stage import WAITING, Stage, becomes, route
from tests.testbed.smtp import FarEnd, Script, Silence

pytestmark = pytest.mark.django_db(transaction=True)


def test_claim_that_took_too_long_is_no_fault_of_the_mail(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, late, struck = Leases.claim, [TookTooLong("57014")], []

    async def claiming(self: Leases, ask: Ask) -> Claimed:
        if late:
            raise late.pop()
        return await claim(self, ask)

    async def striking(self: Leases, ask: Ask) -> None:
        struck.append(ask)

    monkeypatch.setattr(Leases, "claim", claiming)
    monkeypatch.setattr(Leases, "put_off_next", striking)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(Script(), port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()
            while not shift.turns.refused():
                pass  # until a claim is for one delivery alone
            working = asyncio.create_task(shift.run())
            await becomes(WAITING, 0)
            stage.stopping = True
            await working

    port = free_port()
    route(house, port=port)
    mail.run(scenario())
    assert struck == []


def test_lease_that_cannot_be_renewed_keeps_no_other_from_it(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = statements.renew

    async def renewing(connection: Any, owner: Any, leases: list[Leased], now: Any) -> Any:
        if any(lease.recipient.address == "b@x.example" for lease in leases):
            raise QueryCanceled
        return await renew(connection, owner, leases, now)

    monkeypatch.setattr(statements, "renew", renewing)
    monkeypatch.setattr(shifts, "RENEW_SECONDS", 0.05)
    later = "lease_expires_at > (SELECT lease_expires_at FROM relay_queueddelivery"
    renewed = f"SELECT count(*) FROM relay_queueddelivery WHERE {later} WHERE recipient ^@ 'b')"

    async def scenario() -> None:
        messages = [mail.message(house.id, f"{name}@x.example") for name in "abc"]
        await mail.keep(*messages)
        async with FarEnd(Script(greeting=Silence()), port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes(renewed, 2)
            stage.stopping = True
            await working

    port = free_port()
    route(house, port=port)
    mail.run(scenario())
