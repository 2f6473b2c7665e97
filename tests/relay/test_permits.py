# SPDX-License-Identifier: AGPL-3.0-or-later
"""Connections at once per route, over sessions, shifts and processes, on the real database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID, uuid4

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay import permits as module
from relay import shift as shifts
from relay.outbound import sharing_transport
from relay.permits import Permits
from relay.queue import Ask, Claimed
from relay.routing import Routes
from relay.shift import Slot
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import NotNow, Permit, RouteTarget, seats
from relay.transports.carriers import Carriers
from relay.turns import Turns
from tests.relay import mail
from tests.relay.smtp.sending import decided
from tests.relay.stage import PERMITS, WAITING, Stage, becomes, count, route, until
from tests.relay.transports.test_smarthost import content, guard, nothing
from tests.testbed.smtp import FarEnd, Script, Slow

pytestmark = pytest.mark.django_db(transaction=True)

ENVELOPE = Envelope("hej@kunde.example", (Recipient("erik@modtager.example"),))


@asynccontextmanager
async def opened(*many: Permits) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in many:
            await one.close()


async def taken(permits: Permits, where: UUID, most: int) -> list[Permit]:
    """Take until there are no more."""
    found = []
    while permit := await permits.take(where, most):
        found.append(permit)
    return found


@pytest.mark.behaviour(25)
def test_a_route_has_so_many_permits_over_all_shifts() -> None:
    async def scenario() -> None:
        one, other, where = Permits(mail.dsn()), Permits(mail.dsn()), uuid4()
        async with opened(one, other):
            mine = await taken(one, where, 3)
            assert len({permit.number for permit in mine}) == 3
            assert await other.take(where, 3) is None
            # Another route has its own, and a larger one more of the same.
            assert len(await taken(other, uuid4(), 2)) == 2
            assert len(await taken(other, where, 4)) == 1
            await one.give(mine[1])
            await one.give(mine[1])
            again = await taken(other, where, 3)
            assert [permit.number for permit in again] == [mine[1].number]
            assert await one.take(where, 3) is None

    mail.run(scenario())


def test_a_lost_session_takes_its_permits_again_before_new_ones() -> None:
    async def scenario() -> None:
        one, other, where = Permits(mail.dsn()), Permits(mail.dsn()), uuid4()
        async with opened(one, other):
            first, second = await taken(one, where, 2)
            assert one._session is not None
            async with await mail.session("owner") as owner:
                await owner.execute(
                    "SELECT pg_terminate_backend(%s, 5000)", [one._session.info.backend_pid]
                )
            theirs = await other.take(where, 1)
            assert theirs is not None
            assert theirs.number == first.number
            # The session is opened again here: it finds the second free, and the first gone.
            assert await one.take(where, 2) is None
            assert (first.is_lost, second.is_lost) == (True, False)
            assert await other.take(where, 2) is None
            # What is lost is not given back in the other's place.
            await one.give(first)
            assert await one.take(where, 2) is None

    mail.run(scenario())


HOLDER = """
import asyncio, sys, uuid
import django
django.setup()
from relay.permits import Permits
from relay.queue import Ask, Claimed

async def hold():
    permits = Permits(sys.argv[1])
    for _ in range(3):
        assert await permits.take(uuid.UUID(sys.argv[2]), 3)
    print("held", flush=True)
    await asyncio.sleep(600)

asyncio.run(hold())
"""


@contextmanager
def holder(where: UUID) -> Iterator[subprocess.Popen[str]]:
    """A process that holds three permits of a route."""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, mail.dsn(), str(where)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.behaviour(25)
def test_a_killed_process_leaves_no_permit_behind() -> None:
    where = uuid4()

    async def scenario(process: subprocess.Popen[str]) -> None:
        permits = Permits(mail.dsn())
        async with opened(permits):
            assert await permits.take(where, 3) is None
            process.kill()
            async with asyncio.timeout(20):
                while len(await taken(permits, where, 3)) + len(permits._held) < 3:
                    await asyncio.sleep(0.05)

    with holder(where) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        mail.run(scenario(process))


def test_one_shift_holds_no_more_than_it_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)

    async def scenario() -> None:
        crowded: list[bool] = []
        permits = Permits(mail.dsn(), crowded=lambda: crowded.append(True))
        async with opened(permits):
            held = [await permits.take(uuid4(), 5) for _ in range(2)]
            assert all(held)
            assert not crowded
            assert await permits.take(uuid4(), 5) is None
            assert crowded == [True]

    mail.run(scenario())


def test_a_shift_that_leaves_gives_all_back_without_asking_an_absent_database() -> None:
    async def scenario() -> None:
        permits, other, where = Permits(mail.dsn()), Permits(mail.dsn()), uuid4()
        async with opened(other):
            held = await taken(permits, where, 3)
            permits.leave()
            permits._connection._dsn = "host=127.0.0.1 port=1 dbname=x"
            async with asyncio.timeout(1):
                assert await permits.take(where, 3) is None
                for permit in held:
                    await permits.give(permit)
            # Until the last goodbye is said.
            assert await other.take(where, 3) is None
            await permits.close()
            async with asyncio.timeout(10):
                while len(other._held) < 3:
                    await other.take(where, 3)

    mail.run(scenario())


@asynccontextmanager
async def worker(far_end: FarEnd) -> AsyncIterator[Carriers]:
    """A transport as a shift has it, with what runs beside."""
    routes = Routes(mail.dsn(), mail.now)
    permits, transport = sharing_transport(
        mail.dsn(),
        routes,
        ehlo_name="relay.brevdue.example",
        contexts=make_contexts(),
        guard=guard(far_end),
    )
    keeping = asyncio.create_task(permits.keep())
    try:
        yield transport
    finally:
        await transport.close()
        keeping.cancel()
        await asyncio.wait({keeping})
        await permits.close()
        await routes.close()


async def sent(transport: Carriers, target: RouteTarget) -> Verdict:
    """Send one message, as often as it is put back."""
    while True:
        try:
            (outcome,) = decided(await transport.send(target, ENVELOPE, content, nothing))
            return outcome.verdict
        except NotNow:
            await asyncio.sleep(0.05)


@pytest.mark.behaviour(25)
def test_idle_connections_make_room_for_a_busy_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(seats, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(seats, "SPARE_SECONDS", 0.1)
    # Nobody is helped by the end that an idle connection comes to by itself.
    monkeypatch.setattr(seats, "MAX_IDLE_SECONDS", 3600.0)

    async def scenario() -> None:
        async with (
            FarEnd(Script(dot=Slow(0.1, "250 ok"))) as far_end,
            worker(far_end) as idle,
            worker(far_end) as busy,
        ):
            target = RouteTarget(
                route_id=uuid4(), host="localhost", port=far_end.port, tls=TlsPolicy.NONE,
                concurrency=3,
            )  # fmt: skip
            await asyncio.gather(*(sent(idle, target) for _ in range(3)))
            assert far_end.open == 3
            verdicts = asyncio.gather(*(sent(busy, target) for _ in range(24)))
            # The busy one comes to use all of them.
            await until(lambda: far_end.connections == 6)
            await until(lambda: far_end.open == 3)
            assert set(await verdicts) == {Verdict.DELIVERED}
            assert far_end.connections == 6
            assert far_end.most_open == 3

    mail.run(scenario())


@pytest.mark.behaviour(25)
def test_two_shifts_together_keep_to_the_limit_of_a_route(house: Organisation) -> None:
    port = free_port()
    route(house, port=port, concurrency=3)

    async def scenario() -> FarEnd:
        await mail.keep(*(mail.message(house.id) for _ in range(90)))
        async with FarEnd(Script(dot=Slow(0.01, "250 ok")), port=port) as far_end:
            stage = Stage(far_end)
            # Ten in hand at once: neither has all of it with its first claim.
            both = [
                stage.shift(slot=Slot(mail.dsn(), 2), turns=Turns(lambda: 0.5, places=50))
                for _ in range(2)
            ]
            working = [asyncio.create_task(shift.run()) for shift in both]
            await becomes(WAITING, 0, 30)
            stage.stopping = True
            await asyncio.gather(*working)
            # Given back by hanging up, which PostgreSQL notices in its own time.
            await becomes(PERMITS, 0)
            return far_end

    far_end = mail.run(scenario())
    assert len(far_end.ledger) == 90
    assert far_end.most_open == 3


@pytest.mark.behaviour(25)
def test_mail_of_a_full_route_goes_back_untried_and_is_left_out(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "FULL_SECONDS", 0.3)
    monkeypatch.setattr(shifts, "POLL_SECONDS", 0.2)
    port = free_port()
    where = route(house, port=port, concurrency=2)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(30)))
        others = Permits(mail.dsn())
        async with opened(others), FarEnd(port=port) as far_end:
            held = await taken(others, where, 2)
            stage = Stage(far_end)
            shift = stage.shift()
            claims = []
            claim = shift.courier.leases.claim

            async def noted(ask: Ask) -> Claimed:
                claimed = await claim(ask)
                claims.append(len(claimed.works))
                return claimed

            shift.courier.leases.claim = noted  # type: ignore[method-assign] # noted
            working = asyncio.create_task(shift.run())
            await until(lambda: sum(claims) > 32)
            # All of it once, and from then on one to see.
            assert max(claims[claims.index(30) + 1 :]) == 1
            assert far_end.connections == 0
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE attempts > 0", 0)
            for permit in held:
                await others.give(permit)
            await becomes(WAITING, 0)
            assert far_end.most_open <= 2
            assert (
                await count("SELECT count(*) FROM relay_attempt WHERE verdict <> 'delivered'") == 0
            )
            stage.stopping = True
            await working

    mail.run(scenario())
