# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that the service itself fails at: three strikes, then it is left alone until its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay import outcomes, quarantine
from relay.quarantine import Suspects
from relay.queue import LEASE, Work
from relay.routing import Routes
from relay.smtp import dsn
from tests import build
from tests.relay import mail
from tests.relay.queue.test_leases import Watch, holders, one
from tests.relay.stage import WAITING, Stage, becomes, carry, route, to_house, until
from tests.testbed.smtp import FarEnd, Script, Slow

pytestmark = pytest.mark.django_db(transaction=True)

POISON = "post@gift.example"
OF_POISON = "FROM relay_queueddelivery WHERE domain = 'gift.example'"
STATE = f"SELECT strikes, reason, attempts, lane {OF_POISON}"
ALERTS = "SELECT kind, subject FROM accounts_alert ORDER BY kind"


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of this service's own at one sender's mail, outside of any conversation."""
    target = Routes.target

    async def failing(self: Routes, organisation_id: Any, domain: str) -> Any:
        if domain == "gift.example":
            raise ValueError(domain)
        return await target(self, organisation_id, domain)

    monkeypatch.setattr(Routes, "target", failing)


def again(script: Script, offset: timedelta, ready: str) -> FarEnd:
    """Work a shift at a later time, until `ready`."""
    return carry(
        script,
        prepare=lambda port: mail.execute("UPDATE relay_route SET port = %s", port),
        ready=ready,
        offset=offset,
    )


STRUCK = f"SELECT %d - strikes {OF_POISON}"


@pytest.mark.usefixtures("poison")
def test_fault_of_our_own_strikes_its_message_alone(house: Organisation) -> None:
    far_end = carry(
        Script(),
        mail.message(house.id, sender=POISON),
        mail.message(house.id),
        prepare=to_house(house),
        ready=STRUCK % 1,
    )
    assert len(far_end.ledger) == 1
    assert mail.rows(STATE) == [(1, "new", 0, 1)]
    wait = mail.value("SELECT due_at - now() FROM relay_queueddelivery")
    assert timedelta(seconds=45) < wait < timedelta(seconds=75)


@pytest.mark.usefixtures("poison")
def test_third_strike_sets_it_aside_and_tells_the_operator(house: Organisation) -> None:
    message = mail.message(house.id, sender=POISON)
    carry(Script(), message, prepare=to_house(house), ready=STRUCK % 1)
    again(Script(), timedelta(minutes=2), STRUCK % 2)
    again(Script(), timedelta(minutes=8), STRUCK % 3)
    assert mail.rows(STATE) == [(3, "quarantined", 0, 2)]
    assert mail.value("SELECT due_at = expires_at FROM relay_queueddelivery") is True
    assert mail.rows(ALERTS) == [("mail-quarantined", str(house.id))]
    assert mail.value("SELECT count(*) FROM relay_content") == 1


def set_aside(house: Organisation, **fields: Any) -> None:
    """A message with three strikes that somebody made due."""
    mail.run(mail.keep(mail.message(house.id, **fields)))
    mail.execute("UPDATE relay_queueddelivery SET strikes = 3")


def test_what_is_set_aside_is_not_tried(house: Organisation) -> None:
    set_aside(house)
    assert carry(Script(), prepare=to_house(house)).connections == 0
    assert mail.value("SELECT reason FROM relay_queueddelivery") == "quarantined"
    assert mail.value("SELECT due_at = expires_at FROM relay_queueddelivery") is True
    assert mail.rows(ALERTS) == [("mail-quarantined", str(house.id))]


OLD = timedelta(hours=20)


@pytest.mark.behaviour(27)
def test_what_is_set_aside_ends_without_a_look_at_its_content(house: Organisation) -> None:
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    set_aside(house, ago=OLD)
    mail.execute("UPDATE relay_content SET ciphertext = ''")
    (notice,) = carry(Script(), prepare=to_house(house), ready=WAITING).ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"Status: 4.4.7" in notice.content
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert mail.value("SELECT count(*) FROM relay_delivery WHERE state = 'expired'") == 1


@pytest.mark.behaviour(27)
def test_end_does_not_depend_on_the_notice(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(report: Any) -> bytes:
        raise ValueError(report.sender)

    monkeypatch.setattr(dsn, "build", failing)
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    set_aside(house, ago=OLD)
    carry(Script(), prepare=to_house(house), ready=WAITING)
    assert mail.rows("SELECT state FROM relay_delivery") == [("expired",)]
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert [kind for kind, _ in mail.rows(ALERTS)] == ["mail-quarantined", "notice-unstored"]


def test_fault_after_the_dot_is_a_possible_duplicate(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr(outcomes, "judged", failing)
    ready = "SELECT 1 - strikes FROM relay_queueddelivery"
    message = mail.message(house.id)
    assert len(carry(Script(), message, prepare=to_house(house), ready=ready).ledger) == 1
    assert mail.rows("SELECT possible_duplicate, reason, dot_at FROM relay_queueddelivery") == [
        (True, "uncertain", None)
    ]


@pytest.mark.parametrize("begun", [False, True])
def test_only_a_suspect_that_was_begun_is_struck_when_it_is_taken_over(begun: bool) -> None:
    """The first time, everything was in hand that the process had. After the third it is enough."""
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> list[tuple[bool, int]]:
        seen = []
        await mail.keep(mail.message(house.id))
        async with holders(4, watch=watch) as heirs:
            for heir in heirs:
                (lease,) = (await one(heir)).deliveries
                seen.append((lease.is_suspect, lease.strikes))
                if begun and lease.is_suspect:
                    await heir.begin((lease,))
                watch.offset += LEASE + timedelta(seconds=1)
        return seen

    strikes = (0, 0, 1, quarantine.STRIKES) if begun else (0, 0, 0, 0)
    assert mail.run(scenario()) == list(zip((False, True, True, True), strikes, strict=True))


def test_end_of_a_suspect_takes_the_suspicion_away() -> None:
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> tuple[bool, int]:
        await mail.keep(mail.message(house.id))
        async with holders(3, watch=watch) as (first, second, third):
            await one(first)
            watch.offset += LEASE + timedelta(seconds=1)
            suspect = await one(second)
            await second.begin(suspect.deliveries)
            await second.release(suspect.deliveries)
            (lease,) = (await one(third)).deliveries
            return lease.is_suspect, lease.strikes

    assert mail.run(scenario()) == (False, 0)


@pytest.mark.parametrize(("strikes", "together"), [(0, quarantine.EACH), (1, 1)])
def test_suspects_are_begun_a_few_at_a_time_and_those_struck_alone(
    house: Organisation, strikes: int, together: int
) -> None:
    port = free_port()
    route(house, port=port, concurrency=20)
    count = 20 if not strikes else 4

    async def scenario() -> set[int]:
        begun = set()
        await mail.keep(*(mail.message(house.id) for _ in range(count)))
        async with (
            FarEnd(Script(data=Slow(0.2, "354 go")), port=port) as far_end,
            await mail.session() as other,
        ):
            await other.execute(
                "UPDATE relay_queueddelivery SET lease_owner = gen_random_uuid(), strikes = %s,"
                " lease_expires_at = now() - interval '1 minute'",
                [strikes],
            )
            stage = Stage(far_end)
            shift = stage.shift()
            shift.courier.suspects = Suspects(quiet_seconds=0)
            working = asyncio.create_task(shift.run())
            while len(far_end.ledger) < count:
                row = await (await other.execute(
                    "SELECT count(*) FROM relay_queueddelivery WHERE begun_at IS NOT NULL"
                )).fetchone()  # fmt: skip
                assert row
                begun.add(row[0])
                await asyncio.sleep(0.01)
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
        return begun

    assert max(mail.run(scenario())) == together


def test_struck_suspects_wait_until_their_process_has_lasted(house: Organisation) -> None:
    async def scenario() -> float:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        struck = tuple(replace(lease, strikes=1) for lease in work.deliveries)
        async with Suspects(quiet_seconds=0.2).turn(replace(work, deliveries=struck)):
            return loop.time() - started_at

    assert mail.run(scenario()) >= 0.2


def suspect(of: UUID) -> Work:
    return Work(
        message_id=uuid4(),
        accepted_at=build.NOW,
        organisation_id=of,
        is_sandbox=False,
        sender="post@due.example",
        domain="due.example",
        body="",
        smtputf8=False,
        ret="",
        envid="",
        hour_key_id="",
        wrapped_key=b"",
        ciphertext=None,
        deliveries=(),
    )


@pytest.mark.behaviour(25)
def test_silent_servers_do_not_stop_the_suspects_of_others() -> None:
    """Of six organisations whose servers say nothing, as many wait as may; the seventh goes on."""

    async def scenario() -> None:
        suspects, silent = Suspects(place_seconds=0.05), [uuid4() for _ in range(6)]
        begun: Counter[UUID] = Counter()

        async def waits_for_its_server(of: UUID) -> None:
            async with suspects.turn(suspect(of)):
                begun[of] += 1
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(waits_for_its_server(of)) for of in silent * 10]
        async with asyncio.timeout(10), suspects.turn(suspect(uuid4())):
            pass
        await until(lambda: begun.total() == len(silent) * quarantine.EACH, 10)
        assert set(begun.values()) == {quarantine.EACH}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())


def test_places_of_suspects_come_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "FEW", 1)

    async def scenario() -> int:
        suspects, together = Suspects(place_seconds=3600), []

        async def passes() -> None:
            async with suspects.turn(suspect(uuid4())):
                together.append(1)
                most.append(len(together))
                await asyncio.sleep(0)
                together.pop()

        most: list[int] = []
        await asyncio.gather(*(passes() for _ in range(5)))
        assert len(most) == 5
        return max(most)

    assert asyncio.run(scenario()) == 1


@pytest.mark.behaviour(26)
def test_what_is_cancelled_in_hand_ends_at_once_though_it_is_struck(house: Organisation) -> None:
    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,), await mail.session() as other:
            (lease,) = (await one(holder)).deliveries
            await other.execute("UPDATE relay_queueddelivery SET cancelled_at = now()")
            await holder.strike(((lease, mail.now() + timedelta(hours=1), None),))

    mail.run(scenario())
    row = "SELECT strikes, lease_owner, due_at <= now() FROM relay_queueddelivery"
    assert mail.rows(row) == [(1, None, True)]
