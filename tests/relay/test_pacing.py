# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages a minute of a route, over two shifts, on real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from accounts.models import Organisation
from config.stack.state import free_port
from relay import shift as shifts
from relay.limits import SharedCounters
from relay.pacing import Pace
from relay.shift import Slot
from relay.transports import NotNow, RouteTarget
from tests.relay import mail
from tests.relay.stage import WAITING, Stage, becomes, count, route
from tests.testbed.smtp import FarEnd

pytestmark = pytest.mark.django_db(transaction=True)

HELD = "SELECT count(*) FROM relay_hold WHERE reason = 'paced'"
FREE = "SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NULL AND attempts = 0"


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


def start_of_a_minute(stage: Stage) -> None:
    stage.offset += timedelta(seconds=60 - stage.now().timestamp() % 60)


@pytest.mark.behaviour(25)
def test_a_route_carries_its_rate_and_the_rest_waits_as_a_set(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "POLL_SECONDS", 0.2)
    port = free_port()
    route(house, port=port, rate_per_minute=40)

    async def scenario() -> FarEnd:
        await mail.keep(*(mail.message(house.id) for _ in range(100)))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            start_of_a_minute(stage)
            both = [stage.shift(slot=Slot(mail.dsn(), 2)) for _ in range(2)]
            working = [asyncio.create_task(shift.run()) for shift in both]
            for carried in (40, 80):
                await becomes(WAITING, 100 - carried)
                await becomes(FREE, 100 - carried)
                assert len(far_end.ledger) == carried
                assert await count(HELD) == 1
                assert await count("SELECT count(*) FROM relay_queueddelivery"
                    " WHERE due_at > accepted_at") == 0  # fmt: skip
                start_of_a_minute(stage)
            await becomes(WAITING, 0)
            stage.stopping = True
            await asyncio.gather(*working)
            return far_end

    far_end = mail.run(scenario())
    assert len(far_end.ledger) == 100
    ((domain, length, minute),) = mail.rows(
        "SELECT domain, ends_at - held_at <= interval '1 minute', date_part('second', ends_at)"
        " FROM relay_hold"
    )
    assert (domain, length, minute) == ("due.example", True, 0)
    # What came back unsent was not tried, and says why it waits.
    assert mail.value("SELECT count(*) FROM relay_attempt") == 100


def test_a_pace_ends_with_the_minute_and_knows_routes_apart() -> None:
    async def scenario() -> None:
        now = datetime.fromisoformat("2026-11-20T10:00:59+00:00")
        pace = Pace(SharedCounters(settings.REDIS_URL), lambda: now)
        slow, other = target(2), target(1)
        for _ in range(2):
            await pace.spend(slow)
        for _ in range(2):
            with pytest.raises(NotNow) as refused:
                await pace.spend(slow)
            assert refused.value.reason == "paced"
            assert refused.value.until == datetime.fromisoformat("2026-11-20T10:01:00+00:00")
        await pace.spend(other)
        now += timedelta(seconds=1)
        await pace.spend(slow)
        await pace.close()

    mail.run(scenario())


def target(rate: int) -> RouteTarget:
    identifier = uuid4()
    return RouteTarget(route_id=identifier, host="x.example", port=25, rate=rate)


def test_without_redis_each_shift_has_a_quarter() -> None:
    async def scenario() -> int:
        pace = Pace(SharedCounters("redis://127.0.0.1:1/0"), mail.now)
        slow, sent = target(40), 0
        try:
            while True:
                await pace.spend(slow)
                sent += 1
        except NotNow:
            return sent
        finally:
            await pace.close()

    assert 10 <= mail.run(scenario()) <= 20
