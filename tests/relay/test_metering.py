# SPDX-License-Identifier: AGPL-3.0-or-later
"""An organisation's quota: what is above it is accepted, waits, and goes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import redis
from django.conf import settings
from django.db import connection

from accounts import redisclient
from accounts.models import AuditEvent, Organisation, User
from accounts.tenancy import person_context, staff_context
from config.stack.state import free_port
from relay import quotas
from relay.limits import SharedCounters
from relay.metering import AWAY, FRESH, Metering
from relay.models import Hold, Quota
from relay.queue import Leased, Work
from relay.smtp.envelope import Recipient
from tests import build
from tests.relay import mail
from tests.relay.stage import UNTRIED, Stage, becomes, carry, route, to_house
from tests.testbed.smtp import FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = "redis://127.0.0.1:1/0"
# The middle of an hour and of a day: no window ends while a test runs.
NOON = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
HOURS_END, DAYS_END = NOON + timedelta(minutes=30), NOON + timedelta(hours=11, minutes=30)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's Redis answers late, and would be taken for one that is away."""
    monkeypatch.setattr(redisclient, "ANSWER_SECONDS", 30.0)


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Counting(SharedCounters):
    """Counts the questions put to Redis."""

    asked = 0

    async def take(self, *arguments: object) -> int:
        self.asked += 1
        return await super().take(*arguments)  # type: ignore[arg-type] # handed on


@asynccontextmanager
async def metering(clock: Clock, counters: SharedCounters | None = None) -> AsyncIterator[Metering]:
    made = Metering(mail.dsn(), counters or SharedCounters(settings.REDIS_URL), clock)
    yield made
    await made.close()


def quota(house: Organisation, an_hour: int | None = None, a_day: int | None = None) -> None:
    with build.as_owner():
        Quota.objects.update_or_create(
            organisation=house, defaults={"messages_an_hour": an_hour, "messages_a_day": a_day}
        )


def one(house: Organisation, *, attempts: int = 0, sandbox: bool = False, first: int = 0) -> Work:
    """A message as a shift has it in hand."""
    lease = Leased(
        id=1, fence=1, position=first, recipient=Recipient("Erik@modtager.example"),
        attempts=attempts, expires_at=NOON, reason="new", possible_duplicate=False,
        delayed_notice_at=None,
    )  # fmt: skip
    return Work(
        message_id=uuid4(), accepted_at=NOON, organisation_id=house.id, is_sandbox=sandbox,
        sender="post@due.example", domain="due.example", body="", smtputf8=False, ret="",
        envid="", hour_key_id="", wrapped_key=b"", ciphertext=b"", deliveries=(lease,),
    )  # fmt: skip


async def leave(meter: Metering, *works: Work) -> int:
    """How many of the messages may leave."""
    return sum([not await meter.is_over(work) for work in works])


def many(house: Organisation, count: int) -> list[Work]:
    return [one(house) for _ in range(count)]


def holds() -> list[tuple[UUID, str, datetime | None]]:
    with build.as_owner():
        return list(Hold.objects.values_list("organisation_id", "reason", "ends_at"))


@pytest.mark.parametrize(
    ("an_hour", "a_day", "left", "until"),
    [
        (3, None, 3, HOURS_END),
        (None, 3, 3, DAYS_END),
        (3, 5, 3, HOURS_END),
        (5, 3, 3, DAYS_END),
        (0, None, 0, HOURS_END),
    ],
)
@pytest.mark.behaviour(26)
def test_what_is_above_waits_until_the_window_ends(
    house: Organisation, an_hour: int | None, a_day: int | None, left: int, until: datetime
) -> None:
    quota(house, an_hour, a_day)
    free = mail.organisation("Carl")
    clock = Clock()

    async def scenario() -> None:
        async with metering(clock) as meter:
            assert await leave(meter, *many(house, 8)) == left
            assert await leave(meter, *many(free, 8)) == 8

    mail.run(scenario())
    assert holds() == [(house.id, "over_quota", until)]


def test_next_window_has_its_own_and_the_hours_refused_cost_the_day_nothing(
    house: Organisation,
) -> None:
    quota(house, 3, 5)
    clock = Clock()

    async def scenario() -> list[int]:
        left = []
        async with metering(clock) as meter:
            for _ in range(3):
                left.append(await leave(meter, *many(house, 8)))
                clock.now += timedelta(hours=1)
        return left

    assert mail.run(scenario()) == [3, 2, 0]
    assert holds() == [(house.id, "over_quota", DAYS_END)]


@pytest.mark.behaviour(26)
def test_day_that_is_used_up_costs_the_hour_nothing(house: Organisation) -> None:
    quota(house, 3, 1)
    clock = Clock()

    async def scenario() -> list[int]:
        left = []
        async with metering(clock) as meter:
            for a_day in (1, 100):
                async with await mail.session("owner") as session:
                    await session.execute("UPDATE relay_quota SET messages_a_day = %s", [a_day])
                left.append(await leave(meter, *many(house, 8)))
                clock.now += FRESH
        return left

    assert mail.run(scenario()) == [1, 2]


@pytest.mark.behaviour(26)
def test_message_counts_once_however_often_it_is_carried(house: Organisation) -> None:
    quota(house, 3)
    again = one(house)

    async def scenario() -> None:
        async with metering(Clock()) as meter:
            assert await leave(meter, again, again, again, again) == 4
            assert await leave(meter, *(one(house, attempts=1) for _ in range(9))) == 9
            assert await leave(meter, *(one(house, first=1) for _ in range(9))) == 9
            assert await leave(meter, *(one(house, sandbox=True) for _ in range(9))) == 9
            assert await leave(meter, *many(house, 8)) == 2

    mail.run(scenario())


def test_shifts_share_a_quota_and_nobody_exceeds_it(house: Organisation) -> None:
    quota(house, 200)

    async def scenario() -> int:
        async with metering(Clock()) as one_shift, metering(Clock()) as other:
            shares = [leave(shift, *many(house, 150)) for shift in (one_shift, other)]
            return sum(await asyncio.gather(*shares))

    # What one holds unspent when the other finds nothing left is a hundredth.
    assert 198 <= mail.run(scenario()) <= 200


def test_a_message_costs_no_question(house: Organisation) -> None:
    quota(house, 10_000)

    free = mail.organisation("Carl")

    async def scenario() -> None:
        counters = Counting(settings.REDIS_URL)
        async with metering(Clock(), counters) as meter:
            assert await leave(meter, *many(house, 1_000), *many(free, 1_000)) == 2_000
        assert counters.asked == 10

    mail.run(scenario())


def test_without_redis_a_quarter_leaves_and_the_rest_is_held_for_a_minute(
    house: Organisation,
) -> None:
    quota(house, 8)

    async def scenario() -> None:
        async with metering(Clock(), SharedCounters(NOWHERE)) as meter:
            assert await leave(meter, *many(house, 8)) == 2

    mail.run(scenario())
    assert holds() == [(house.id, "over_quota", NOON + AWAY)]


def test_database_that_is_away_holds_nothing_up(house: Organisation) -> None:
    async def scenario() -> None:
        nowhere = "postgresql://relay@127.0.0.1:1/nothing"
        meter = Metering(nowhere, SharedCounters(settings.REDIS_URL), Clock())
        assert await leave(meter, *many(house, 2)) == 2
        await meter.close()

    mail.run(scenario())


@pytest.mark.behaviour(26)
def test_quota_that_was_changed_meanwhile_holds_nothing(house: Organisation) -> None:
    quota(house, 1)
    clock = Clock()

    async def scenario() -> None:
        async with metering(clock) as meter:
            assert await leave(meter, *many(house, 1)) == 1
            async with await mail.session("owner") as session:
                await session.execute("UPDATE relay_quota SET messages_an_hour = 3")
            # Still believed to be used up, but nothing is written; then it is read again.
            assert await leave(meter, *many(house, 4)) == 2
            clock.now += FRESH

    mail.run(scenario())
    assert len(holds()) == 1


@pytest.mark.behaviour(26)
def test_mail_above_the_quota_is_accepted_and_goes_by_itself(house: Organisation) -> None:
    """No try is counted for the wait, and no mail is claimed meanwhile."""
    quota(house, 2)
    port = free_port()
    route(house, port=port)
    left = "SELECT 5 - count(*) FROM relay_queueddelivery"

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(5)))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end, offset=_to_the_half_hour())
            working = asyncio.create_task(stage.shift().run())
            await becomes(left, 2)
            await becomes(UNTRIED, 0)
            assert await tries_leases_rows() == [0, 0, 3]
            stage.offset += timedelta(hours=1)
            await becomes(left, 4)
            stage.offset += timedelta(hours=1)
            await becomes(left, 5)
            stage.stopping = True
            await working
            assert len(far_end.ledger) == 5

    mail.run(scenario())


def _to_the_half_hour() -> timedelta:
    now = mail.now()
    return timedelta(minutes=(30 - now.minute) % 60)


async def tries_leases_rows() -> list[int]:
    async with await mail.session() as session:
        found = await session.execute(
            "SELECT sum(attempts)::int, count(lease_owner)::int, count(*)::int"
            " FROM relay_queueddelivery"
        )
        return list((await found.fetchall())[0])


@pytest.mark.behaviour(26)
def test_mail_above_the_quota_ends_at_its_time(house: Organisation) -> None:
    quota(house, 0)
    mail.run(mail.keep(mail.message(house.id, notify="NEVER")))
    mail.execute("UPDATE relay_queueddelivery SET expires_at = now() - interval '1 minute'")
    far_end = carry(Script(), prepare=to_house(house), ready=UNTRIED)
    assert far_end.ledger == []
    assert mail.rows("SELECT state FROM relay_delivery") == [("expired",)]


@pytest.mark.behaviour(26)
def test_staff_raise_it_and_the_mail_goes_at_once(house: Organisation, dorte: User) -> None:
    port = free_port()
    route(house, port=port)
    quota(house, 1)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(3)))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end, offset=_to_the_half_hour())
            working = asyncio.create_task(stage.shift().run())
            await becomes("SELECT count(*) FROM relay_hold", 1)
            await asyncio.to_thread(granted_aside, house, dorte, 3)
            stage.offset += FRESH
            await becomes("SELECT count(*) FROM relay_queueddelivery", 0)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert holds() == []


def granted(house: Organisation, by: User, an_hour: int | None) -> None:
    """As the staff's pages do it."""
    with person_context(by.id), staff_context():
        row = Quota.objects.filter(organisation=house).first() or Quota(organisation=house)
        row.messages_an_hour = an_hour
        quotas.grant(row, changed=["messages_an_hour"], by=by)


def granted_aside(house: Organisation, by: User, an_hour: int) -> None:
    """In a thread, with a connection of its own."""
    try:
        granted(house, by, an_hour)
    finally:
        connection.close()


@pytest.mark.behaviour(26)
def test_grant_releases_what_the_quota_held_alone_and_is_recorded(
    house: Organisation, dorte: User
) -> None:
    with build.as_owner():
        Hold.objects.create(
            organisation=house, reason="over_quota", held_at=NOON, ends_at=HOURS_END
        )
        Hold.objects.create(organisation=house, reason="held", held_at=NOON)
    granted(house, dorte, 20)
    assert [reason for _, reason, _ in holds()] == ["held"]
    with staff_context():
        Hold.objects.all().delete()
    assert [reason for _, reason, _ in holds()] == ["held"]
    with build.as_owner():
        assert Quota.objects.get().messages_an_hour == 20
    granted(house, dorte, None)
    with build.as_owner():
        assert Quota.objects.get().messages_an_hour is None
        acts = AuditEvent.objects.order_by("sequence").values_list("action", flat=True)
        assert list(acts) == ["quota.created", "quota.changed"]
