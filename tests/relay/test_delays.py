# SPDX-License-Identifier: AGPL-3.0-or-later
"""Senders are told of a delay when its time has come, whenever the next try is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay import delivery, shift
from relay.delivery import Courier
from relay.queue import delays
from tests.relay import mail
from tests.relay.queue.test_leases import holders
from tests.relay.stage import Stage, becomes, route, until
from tests.relay.test_restriction import restrict
from tests.testbed.smtp import FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)

MARK = timedelta(hours=4)
LATER = "UPDATE relay_queueddelivery SET attempts = 6, reason = 'deferred', due_at = '2999-01-01'"
KEPT = (
    "SELECT attempts, reason, due_at = '2999-01-01', lease_owner IS NULL FROM relay_queueddelivery"
)
TOLD = "SELECT count(*) FROM relay_queueddelivery WHERE delayed_notice_at IS NOT NULL"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DELAYS_SECONDS", 0.05)


def look(house: Organisation, wanted: int, *recipients: str, change: str = "", **of: Any) -> FarEnd:
    """Have a shift look several times at a message that is not tried meanwhile."""
    port = free_port()
    route(house, port=port)

    async def scenario() -> FarEnd:
        await mail.keep(mail.message(house.id, *recipients, **of))
        async with FarEnd(Script(), port=port) as far_end, await mail.session() as other:
            await other.execute(LATER)
            if change:
                await other.execute(change)
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes(TOLD, wanted)
            await until(lambda: len(far_end.ledger) >= bool(wanted))
            await asyncio.sleep(0.6)
            stage.stopping = True
            await working
            return far_end

    return mail.run(scenario())


def test_delay_is_told_once_at_its_mark_and_nothing_else_changes(house: Organisation) -> None:
    names = ("a@x.example", "b@x.example")
    (notice,) = look(house, 2, *names, ago=MARK + timedelta(seconds=1)).ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"Action: delayed" in notice.content
    assert b"Subject: hej" in notice.content
    assert all(name.encode() in notice.content for name in names)
    assert mail.rows(KEPT) == [(6, "deferred", True, True)] * 2
    assert mail.value("SELECT count(*) FROM relay_attempt WHERE verdict <> 'delivered'") == 0


def test_delay_of_mail_to_somebody_restricted_is_told_without_saying_whose(
    house: Organisation,
) -> None:
    restrict(house, "erik@modtager.example")
    content = b"To: erik@modtager.example\r\n\r\nhej\r\n"
    (notice,) = look(
        house, 1, "Erik@modtager.example", ago=MARK + timedelta(seconds=1), content=content
    ).ledger
    assert b"Action: delayed" in notice.content
    assert b"erik" not in notice.content.lower()


@pytest.mark.behaviour(26)
def test_mail_never_tried_stays_new_when_the_delay_is_told(house: Organisation) -> None:
    look(
        house, 2, "a@x.example", "b@x.example", ago=MARK + timedelta(seconds=1),
        change="UPDATE relay_queueddelivery SET attempts = 0, lane = position, reason = 'new'",
    )  # fmt: skip
    assert mail.rows("SELECT lane FROM relay_queueddelivery ORDER BY position") == [(0,), (1,)]


@pytest.mark.parametrize(
    "of",
    [
        {"ago": MARK - timedelta(minutes=1)},
        {"sender": ""},
        {"notify": "NEVER"},
        {"notify": "FAILURE"},
        {"is_sandbox": True},
        {"change": "UPDATE relay_queueddelivery SET cancelled_at = now()"},
        {"change": "UPDATE relay_queueddelivery SET strikes = 1"},
        {"change": "UPDATE relay_queueddelivery SET expires_at = accepted_at"},
    ],
)
def test_nobody_is_told_who_must_not_be(house: Organisation, of: dict[str, Any]) -> None:
    assert look(house, 0, **{"ago": MARK + timedelta(seconds=1)} | of).ledger == []
    assert mail.rows("SELECT fence FROM relay_queueddelivery") == [(0,)]


def test_one_look_takes_the_oldest_of_all_and_no_more_than_are_told_in_time(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delays, "MOST_OF_ALL", 2)
    other = mail.organisation("Andet Hus A/S")
    ages = [MARK + timedelta(minutes=number) for number in (1, 2, 3)]
    late = [mail.message(h.id, ago=ago) for h, ago in zip((house, other, house), ages, strict=True)]

    async def scenario() -> list[Any]:
        await mail.keep(*late)
        async with holders() as (holder,):
            return [work.message_id for work in await holder.delayed()]

    assert mail.run(scenario()) == [late[2].id, late[1].id]


LEASED = "SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NOT NULL"
RENEWED = "SELECT count(*) FROM relay_queueddelivery WHERE lease_expires_at > '{}'"


def test_what_is_told_one_by_one_stays_leased_and_goes_back_when_the_shift_ends(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that runs out is taken for mail that a process died of."""

    async def long(self: Courier, work: Any) -> None:
        await asyncio.sleep(1000)

    monkeypatch.setattr(Courier, "_tell_delay", long)
    monkeypatch.setattr(shift, "RENEW_SECONDS", 0.05)
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        late = MARK + timedelta(seconds=1)
        await mail.keep(*(mail.message(house.id, ago=late) for _ in range(3)))
        async with FarEnd(Script(), port=port) as far_end, await mail.session() as other:
            await other.execute(LATER)
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes(LEASED, 3)
            found = await other.execute("SELECT max(lease_expires_at) FROM relay_queueddelivery")
            (first,) = (await found.fetchall())[0]
            await becomes(RENEWED.format(first), 3)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.rows("SELECT DISTINCT lease_owner, fence FROM relay_queueddelivery") == [(None, 1)]
