# SPDX-License-Identifier: AGPL-3.0-or-later
"""Servers that do not answer are left alone, for all shifts, and their mail waits untried."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay import resting
from relay import shift as shifts
from relay.hops import SharedGate
from relay.permits import Permits
from relay.routing import Reason, Routes, Waits
from relay.shift import Slot
from relay.transports import RouteTarget
from tests.relay import mail
from tests.relay.stage import WAITING, Stage, becomes, count, route
from tests.testbed.smtp import Drop, FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.fromisoformat("2026-11-20T10:00:00+00:00")
UNTRIED_AND_FREE = (
    "SELECT count(*) FROM relay_queueddelivery"
    " WHERE attempts = 0 AND lease_owner IS NULL AND reason IN ('new', 'resting')"
)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


async def reached(routes: Routes, house: Organisation) -> RouteTarget:
    target = await routes.target(house.id, "due.example")
    assert isinstance(target, RouteTarget)
    return target


@pytest.mark.behaviour(25)
def test_failures_in_a_row_rest_a_route_longer_and_longer(house: Organisation) -> None:
    route(house, concurrency=7)

    async def scenario() -> list[float]:
        clock = Clock()
        routes, rests = Routes(mail.dsn(), clock), []
        target = await reached(routes, house)
        assert (target.concurrency, target.is_failing) == (7, False)
        for _ in range(resting.FAILURES - 1):
            assert await routes.failed(target) is None
        for _ in range(8):
            until = await routes.failed(await reached(routes, house))
            assert until is not None
            rests.append((until - clock.now).total_seconds())
            assert await routes.target(house.id, "due.example") == Waits(
                reason=Reason.RESTING, until=until
            )
            # Whoever began before the rest fails as well, and changes nothing.
            assert await routes.failed(target) == until
            clock.now = until
            # One connection at a time finds out whether it works again.
            target = await reached(routes, house)
            assert (target.concurrency, target.is_failing) == (1, True)
        await routes.worked(target)
        target = await reached(routes, house)
        assert (target.concurrency, target.is_failing) == (7, False)
        await routes.close()
        return rests

    assert mail.run(scenario()) == [30, 60, 120, 240, 480, 900, 900, 900]
    assert mail.rows("SELECT failures, rest_until FROM relay_route") == [(0, None)]


def test_a_success_in_between_begins_the_count_anew(house: Organisation) -> None:
    route(house)

    async def scenario() -> None:
        routes, other = Routes(mail.dsn(), Clock()), Routes(mail.dsn(), Clock())
        for _ in range(3):
            for _ in range(resting.FAILURES - 1):
                assert await routes.failed(await reached(routes, house)) is None
            # Another shift has heard of the failures, and knows better.
            await other.worked(await reached(other, house))
            other._known.clear()
        await routes.close()
        await other.close()

    mail.run(scenario())


def test_a_route_that_was_changed_meanwhile_has_not_failed(house: Organisation) -> None:
    route(house)

    async def scenario() -> None:
        routes = Routes(mail.dsn(), Clock())
        before = await reached(routes, house)
        async with await mail.session("owner") as owner:
            await owner.execute("UPDATE relay_route SET version = version + 1")
        for _ in range(resting.FAILURES):
            assert await routes.failed(before) is None
        await routes.close()

    mail.run(scenario())
    assert mail.value("SELECT failures FROM relay_route") == 0


@pytest.mark.behaviour(25)
def test_a_dead_server_gets_few_connections_whatever_waits_and_is_found_again(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "POLL_SECONDS", 0.2)
    port = free_port()
    route(house, port=port, concurrency=3)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(150)))
        script = Script(greeting=Drop())
        async with FarEnd(script, port=port) as far_end:
            stage = Stage(far_end)
            both = [stage.shift(slot=Slot(mail.dsn(), 2)) for _ in range(2)]
            working = [asyncio.create_task(shift.run()) for shift in both]
            await becomes("SELECT count(*) FROM relay_route WHERE rest_until IS NOT NULL", 1)
            # What was on its way when the rest began fails as well.
            async with asyncio.timeout(20):
                while await count(UNTRIED_AND_FREE) != 150 - far_end.connections:
                    await asyncio.sleep(0.05)
            failed = far_end.connections
            assert failed <= 6 * resting.FAILURES
            assert await count("SELECT max(attempts) FROM relay_queueddelivery") == 1
            # The rest is over: one connection, for both shifts, and a longer rest.
            await over(stage)
            await becomes("SELECT failures FROM relay_route", resting.FAILURES + 1)
            assert far_end.connections == failed + 1
            script.greeting = "220 far.example ESMTP"
            await over(stage)
            await becomes(WAITING, 0, 30)
            assert await count("SELECT count(*) FROM relay_route WHERE rest_until IS NULL") == 1
            stage.stopping = True
            await asyncio.gather(*working)

    mail.run(scenario())


async def over(stage: Stage) -> None:
    """Move time to the end of the rest."""
    async with await mail.session() as session:
        cursor = await session.execute("SELECT rest_until FROM relay_route")
        row = await cursor.fetchone()
    assert row is not None
    stage.offset += row[0] - stage.now() + timedelta(milliseconds=10)


def test_mail_of_a_resting_route_ends_when_its_time_is_up(house: Organisation) -> None:
    """No try is made, and its sender is told on a route that works."""
    port = free_port()
    route(house, port=port, rest_until=mail.now() + timedelta(minutes=10), failures=9)
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 4")

    async def scenario() -> None:
        await mail.keep(mail.message(house.id, ago=timedelta(hours=5)), mail.message(house.id))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            # The late one is gone; the other waits, and so does the notice, which nobody claims.
            await becomes("SELECT count(*) FROM relay_delivery WHERE state = 'expired'", 1)
            await becomes(
                "SELECT count(*) FROM relay_queueddelivery"
                " WHERE reason = 'resting' AND lease_owner IS NULL", 1
            )  # fmt: skip
            assert await count(WAITING) == 2
            assert far_end.connections == 0
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_attempt") == 0


@pytest.mark.behaviour(25)
def test_a_look_that_fails_keeps_no_permit_of_a_failing_route(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    route(house, failures=resting.FAILURES)

    async def failing(self: Routes, target: RouteTarget) -> datetime | None:
        raise ConnectionResetError

    monkeypatch.setattr(Routes, "rests", failing)

    async def scenario() -> None:
        routes, permits = Routes(mail.dsn(), mail.now), Permits(mail.dsn())
        target = await reached(routes, house)
        assert (target.concurrency, target.is_failing) == (1, True)
        with pytest.raises(ConnectionResetError):
            await SharedGate(permits, routes).take(target)
        assert await permits.take(target.route_id, target.concurrency) is not None
        await permits.close()
        await routes.close()

    mail.run(scenario())
