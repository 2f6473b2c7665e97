# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages that take turns: several transactions for one of them, one connection for many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay.models import Route
from relay.room import Room
from relay.turns import Turns
from tests import build
from tests.relay import mail
from tests.relay.stage import (
    WAITING,
    Stage,
    becomes,
    carry,
    count,
    route,
    to_house,
    until,
)
from tests.testbed.smtp import Drop, FarEnd, Script, Silence, Slow

pytestmark = pytest.mark.django_db(transaction=True)

SPLIT = {"a@modtager.example": "250 ok", "b@modtager.example": ["452 4.5.3 too many", "250 ok"]}


def test_recipients_over_the_servers_limit_go_next(house: Organisation) -> None:
    message = mail.message(house.id, *SPLIT)
    far_end = carry(Script(rcpt=SPLIT), message, prepare=to_house(house))
    assert [received.recipients for received in far_end.ledger] == [[name] for name in SPLIT]
    assert mail.rows("SELECT DISTINCT state, possible_duplicate FROM relay_delivery") == [
        ("delivered", False)
    ]
    assert mail.value("SELECT count(*) FROM relay_content") == 0


STILL_WAITING = "SELECT recipient, reason, possible_duplicate FROM relay_queueddelivery"


@pytest.mark.parametrize(
    ("second", "reason", "uncertain"),
    [
        ({"dot": ["250 ok", Drop()]}, "uncertain", True),
        ({"data": ["354 go", Drop()]}, "unreachable", False),
        ({"mail": ["250 ok", "451 4.3.0 later"]}, "deferred", False),
    ],
)
def test_what_was_answered_stands_when_the_next_transaction_fails(
    house: Organisation, second: dict[str, Any], reason: str, uncertain: bool
) -> None:
    script = Script(rcpt=SPLIT, **second)
    carry(script, mail.message(house.id, *SPLIT), prepare=to_house(house))
    assert mail.rows("SELECT state, possible_duplicate FROM relay_delivery ORDER BY position") == [
        ("delivered", False),
        ("waiting", uncertain),
    ]
    assert mail.rows(STILL_WAITING) == [("b@modtager.example", reason, uncertain)]


def test_what_was_answered_is_written_before_the_next_transaction(house: Organisation) -> None:
    """A stop, a crash or a lost lease in the second one then leaves the first as it is."""
    script = Script(rcpt=SPLIT, dot=["250 ok", Silence()])
    carry(
        script,
        mail.message(house.id, *SPLIT),
        prepare=to_house(house),
        ready=f"{WAITING} WHERE recipient = 'a@modtager.example'",
    )
    assert mail.rows("SELECT state FROM relay_delivery ORDER BY position")[0] == ("delivered",)


def test_large_content_is_held_by_few_jobs_at_once(house: Organisation) -> None:
    port = free_port()
    route(house, port=port, concurrency=8)
    large = 200_000  # octets: past what comes with a claim
    messages = [mail.message(house.id, content=b"Subject: x\r\n\r\n" + b"x\r\n" * (large // 3))
                for _ in range(12)]  # fmt: skip
    held: list[int] = []

    async def scenario() -> FarEnd:
        await mail.keep(*messages)
        async with FarEnd(Script(dot=Slow(0.1, "250 ok")), port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()
            shift.courier.room = Room(of_one=large * 3)
            working = asyncio.create_task(shift.run())
            async with asyncio.timeout(30):
                while len(far_end.ledger) < len(messages):
                    held.append(sum(job.content is not None for job in shift._jobs.values()))
                    await asyncio.sleep(0.005)
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return far_end

    far_end = mail.run(scenario())
    assert max(held) in (1, 2)
    assert sorted(one.content for one in far_end.ledger) == sorted(m.content for m in messages)


@pytest.mark.behaviour(24)
def test_lost_lease_of_one_recipient_leaves_the_others_as_new(house: Organisation) -> None:
    """Nothing has left: what is still held goes again at once, uncounted and not flagged."""
    port = free_port()
    route(house, port=port)
    names = ["a@modtager.example", "b@modtager.example"]

    async def scenario() -> FarEnd:
        await mail.keep(mail.message(house.id, *names))
        async with FarEnd(Script(data=Slow(0.5, "354 go")), port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE fence = 1", 2)
            async with await mail.session() as other:
                await other.execute(
                    "UPDATE relay_queueddelivery SET fence = 9, lease_owner = gen_random_uuid()"
                    " WHERE position = 1"
                )
            await becomes(WAITING, 1)
            stage.stopping = True
            await working
            return far_end

    assert [received.recipients for received in mail.run(scenario()).ledger] == [names[:1]]
    assert mail.rows("SELECT state, possible_duplicate FROM relay_delivery ORDER BY position") == [
        ("delivered", False), ("waiting", False),
    ]  # fmt: skip
    assert mail.rows("SELECT number FROM relay_attempt") == [(1,)]


PAUSED = {"paused_at": build.NOW, "pause_reason": Route.PauseReason.BY_PERSON}
CLAIMS = "SELECT sum(fence) FROM relay_queueddelivery"
SANDBOXED = "SELECT count(*) FROM relay_delivery WHERE state = 'sandboxed'"


@pytest.mark.behaviour(26)
def test_mail_of_a_paused_route_is_left_alone_and_goes_when_it_is_resumed(
    house: Organisation,
) -> None:
    """Nothing is claimed row by row meanwhile, and mail that needs no route is not held up."""
    port = free_port()
    route(house, port=port, concurrency=4, **PAUSED)

    async def scenario() -> list[int]:
        await mail.keep(*(mail.message(house.id) for _ in range(300)))
        async with FarEnd(port=port) as far_end, await mail.session("owner") as owner:
            stage = Stage(far_end)
            shift = stage.shift()
            working = asyncio.create_task(shift.run())
            await until(lambda: shift.turns.next_shut(1) and not shift._jobs)
            claims = [await count(CLAIMS)]
            await mail.keep(mail.message(house.id), mail.message(house.id, is_sandbox=True))
            await becomes(SANDBOXED, 1)
            await asyncio.sleep(1.5)
            claims.append(await count(CLAIMS))
            assert far_end.connections == 0
            await owner.execute("UPDATE relay_route SET paused_at = NULL, pause_reason = ''")
            await becomes(WAITING, 0, 30)
            assert len(far_end.ledger) == 301
            stage.stopping = True
            await working
            return claims

    first, second = mail.run(scenario())
    assert first == second


@pytest.mark.behaviour(24)
def test_each_recipient_goes_its_own_way(house: Organisation) -> None:
    """The one that was taken and the one that was refused are final; the third alone goes again."""
    names = [f"{name}@modtager.example" for name in "abc"]
    script = Script(rcpt={names[1]: "550 5.1.1 unknown", names[2]: "450 4.2.1 later"})
    carry(script, mail.message(house.id, *names, notify="NEVER"), prepare=to_house(house))
    states = "SELECT state FROM relay_delivery ORDER BY position"
    assert mail.rows(states) == [("delivered",), ("bounced",), ("waiting",)]
    mail.execute("UPDATE relay_queueddelivery SET due_at = now()")
    again = carry(
        Script(),
        prepare=lambda port: mail.execute("UPDATE relay_route SET port = %s", port),
        ready=WAITING,
    )
    assert [received.recipients for received in again.ledger] == [names[2:]]
    assert mail.rows(states) == [("delivered",), ("bounced",), ("delivered",)]


@pytest.mark.behaviour(24)
def test_message_cut_by_a_claim_reaches_each_recipient_once(house: Organisation) -> None:
    port = free_port()
    route(house, port=port, concurrency=3)
    names = [f"r{number}@modtager.example" for number in range(10)]

    async def scenario() -> FarEnd:
        await mail.keep(mail.message(house.id, *names))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            # A turn has a fifth of the places: the first claim takes four.
            shift = stage.shift(turns=Turns(lambda: 0.5, places=20))
            working = asyncio.create_task(shift.run())
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return far_end

    got = [received.recipients for received in mail.run(scenario()).ledger]
    assert len(got) > 1
    assert sorted(name for part in got for name in part) == names
    assert mail.value("SELECT count(*) FROM relay_content") == 0


OPEN = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND state LIKE 'idle in transaction%%' AND xact_start < '%s'"
)


@pytest.mark.behaviour(22)
@pytest.mark.parametrize("silent", ["greeting", "dot"])
def test_no_transaction_is_open_while_a_server_is_silent(house: Organisation, silent: str) -> None:
    script = Script()
    setattr(script, silent, Silence())
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(script, port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await until(lambda: far_end.ledger if silent == "dot" else far_end.connections)
            await becomes(OPEN % mail.now(), 0, 5)
            stage.stopping = True
            await working

    mail.run(scenario())
