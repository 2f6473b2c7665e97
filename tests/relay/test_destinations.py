# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is kept of the domains that mail goes to, on the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from relay import destinations, resting
from relay.destinations import Destinations, Facts, Known
from relay.models import Destination
from relay.smtp import sts
from relay.smtp.mx import NoSuchName, Unanswered
from relay.stsfetch import Unfetched
from relay.stspolicies import LOOK_AGAIN, REFRESH, Policies
from relay.transports import RouteTarget
from tests import build
from tests.relay import mail

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "modtager.example"
TARGET = RouteTarget(route_id=UUID(int=1), kind="direct", destination=NAME)
DAY = timedelta(days=1)


class Clock:
    def __init__(self) -> None:
        self.at = build.NOW

    def __call__(self) -> datetime:
        return self.at


@asynccontextmanager
async def process(now: Clock) -> AsyncIterator[Destinations]:
    made = Destinations(mail.dsn(), now)
    try:
        yield made
    finally:
        await made.close()


def stored() -> list[tuple[str, int]]:
    with build.as_owner():
        return list(Destination.objects.values_list("name", "failures"))


def test_domain_rests_for_all_processes_after_failures_in_a_row_and_longer_each_time() -> None:
    now = Clock()

    async def scenario() -> None:
        async with process(now) as one, process(now) as two:
            for _ in range(resting.FAILURES - 1):
                assert await one.failed(TARGET) is None
            until = await two.failed(TARGET)
            assert until == now.at + resting.SHORTEST
            # What began before and fails now does not prolong it.
            assert await one.failed(TARGET) == until
            assert await one.rests(TARGET) == until
            assert (await one.facts(NAME)).rests(now.at)
            now.at = until
            assert await one.rests(TARGET) is None
            assert await one.failed(TARGET) == now.at + 2 * resting.SHORTEST
            for _ in range(12):
                now.at += resting.LONGEST
                last = await two.failed(TARGET)
            assert last == now.at + resting.LONGEST
            await two.worked(TARGET)
            assert (await two.facts(NAME)).failures == 0

    mail.run(scenario())
    assert stored() == [(NAME, 0)]


def test_nothing_is_written_of_a_domain_that_answers() -> None:
    async def scenario() -> None:
        async with process(Clock()) as one:
            assert await one.facts(NAME) == Facts()
            await one.worked(TARGET)

    mail.run(scenario())
    assert stored() == []


def test_domain_is_read_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    real, now, reads = destinations._find, Clock(), []

    async def find(connection: Any, name: str, at: datetime) -> Facts:
        reads.append(name)
        return await real(connection, name, at)

    monkeypatch.setattr(destinations, "_find", find)

    async def scenario() -> None:
        async with process(now) as one:
            for _ in range(resting.FAILURES):
                rests = await one.failed(TARGET)
            names = (NAME, "andet.example")
            found = await asyncio.gather(*(one.facts(name) for name in names * 20))
            assert {facts.rest_until for facts in found} == {rests, None}
            assert sorted(reads) == sorted(names)
            # What it came to is news to whoever asks behind it.
            await one.worked(replace(TARGET, is_failing=True))
            assert (await one.facts(NAME)).failures == 0
            now.at += destinations.FRESH
            await asyncio.gather(*(one.facts(NAME) for _ in range(20)))

    mail.run(scenario())
    assert reads.count(NAME) == 3


def known(identifier: str, at: datetime, days: int = 7, mode: sts.Mode = sts.Mode.ENFORCE) -> Known:
    policy = sts.Policy(mode, ("mx.modtager.example",), days * DAY)
    return Known(id=identifier, policy=policy, fetched_at=at)


@pytest.mark.behaviour(34)
def test_policy_outlives_the_process_and_an_older_one_never_replaces_it() -> None:
    now = Clock()

    async def scenario() -> None:
        async with process(now) as one:
            await one.keep(NAME, known("a", now.at))
            await one.keep(NAME, known("old", now.at - DAY))
        async with process(now) as two:
            assert (await two.facts(NAME)).known == known("a", now.at)
            await two.keep(NAME, known("b", now.at + DAY))
            assert (await two.facts(NAME)).known == known("b", now.at + DAY)

    mail.run(scenario())


def test_what_nobody_needs_is_forgotten() -> None:
    now = build.NOW
    today = now.date()
    rows = [
        Destination(name="used.example", used_on=today, failures=3),
        Destination(name="old.example", used_on=today - 31 * DAY, failures=3),
        Destination(name="edge.example", used_on=today - 30 * DAY),
        Destination(name="expired.example", used_on=today, sts_expires_at=now - DAY),
        Destination(name="valid.example", used_on=today, sts_expires_at=now + DAY),
        Destination(
            name="resting.example", used_on=today, sts_expires_at=now - DAY, rest_until=now + DAY
        ),
    ]
    with build.as_owner():
        Destination.objects.bulk_create(rows)
    with build.as_role("duty"):
        assert destinations.forget(now) == 2
    kept = {"edge.example", "resting.example", "used.example", "valid.example"}
    assert {name for name, _ in stored()} == kept


def test_day_of_use_is_noted_when_mail_goes_there() -> None:
    now = Clock()

    async def scenario() -> None:
        async with process(now) as one:
            await one.failed(TARGET)
            now.at += 3 * DAY
            await one.facts(NAME)

    mail.run(scenario())
    with build.as_owner():
        assert Destination.objects.get().used_on == now.at.date()


class Web:
    """What a domain publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.record: list[bytes] | type[Exception] = [b"v=STSv1; id=a"]
        self.policy: sts.Policy | None = known("", build.NOW).policy
        self.fetches = self.looks = 0

    async def texts(self, name: str) -> list[bytes]:
        assert name == f"_mta-sts.{NAME}"
        self.looks += 1
        await asyncio.sleep(0)
        if isinstance(self.record, type):
            raise self.record
        return self.record

    async def fetch(self, name: str) -> sts.Policy:
        self.fetches += 1
        if self.policy is None:
            raise Unfetched
        return self.policy


@asynccontextmanager
async def policies(web: Web, now: Clock) -> AsyncIterator[Policies]:
    async with process(now) as stored_ones:
        made = Policies(web, web.fetch, stored_ones, now)
        yield made
        await made.close()


@pytest.mark.behaviour(34)
def test_policy_is_fetched_once_however_many_ask() -> None:
    web, now = Web(), Clock()

    async def scenario() -> None:
        async with policies(web, now) as made:
            found = await asyncio.gather(*(made.holding(NAME) for _ in range(20)))
            assert set(found) == {web.policy}
            await made.holding(NAME)
        assert (web.looks, web.fetches) == (1, 1)
        # A new process looks for itself, and fetches what it knows already no more.
        async with policies(web, now) as made:
            assert await made.holding(NAME) == web.policy
        assert (web.looks, web.fetches) == (2, 1)

    mail.run(scenario())


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("record", [[], [b"v=STSv1; id=b"], NoSuchName, Unanswered, [b"x", b"y"]])
def test_known_policy_holds_until_it_expires_whatever_breaks(record) -> None:
    web, now = Web(), Clock()

    async def scenario() -> None:
        async with policies(web, now) as made:
            kept = await made.holding(NAME)
            web.record, web.policy = record, None
            now.at += 7 * DAY - timedelta(seconds=1)
            assert await made.holding(NAME) == kept is not None
            now.at += timedelta(seconds=2)
            assert await made.holding(NAME) is None

    mail.run(scenario())


@pytest.mark.behaviour(34)
def test_new_id_brings_the_new_policy_and_so_does_a_day() -> None:
    web, now = Web(), Clock()

    async def scenario() -> None:
        async with policies(web, now) as made:
            await made.holding(NAME)
            web.policy = known("", now.at, mode=sts.Mode.NONE).policy
            now.at += LOOK_AGAIN
            found = await made.holding(NAME)
            assert found is not None
            assert found.mode is sts.Mode.ENFORCE
            web.record = [b"v=STSv1; id=b"]
            now.at += LOOK_AGAIN
            assert await made.holding(NAME) == web.policy
            fetches = web.fetches
            now.at += REFRESH
            await made.holding(NAME)
            assert web.fetches == fetches + 1

    mail.run(scenario())


@pytest.mark.behaviour(34)
def test_domain_without_a_record_is_asked_for_no_document() -> None:
    web, now = Web(), Clock()
    web.record = NoSuchName

    async def scenario() -> None:
        async with policies(web, now) as made:
            for _ in range(3):
                assert await made.holding(NAME) is None

    mail.run(scenario())
    assert (web.looks, web.fetches, stored()) == (1, 0, [])
