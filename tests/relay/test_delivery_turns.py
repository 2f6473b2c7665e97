# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages that take turns: several transactions for one of them, one connection for many."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from accounts.models import Organisation
from relay.room import Room
from tests.relay import mail
from tests.relay.stage import WAITING, Stage, becomes, carry, free_port, route, to_house
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
