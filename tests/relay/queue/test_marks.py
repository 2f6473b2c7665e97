# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mark before the final dot: for all recipients of a message, or for none of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from relay.queue import LEASE, Ask, LeaseLost, Work
from tests.relay import mail
from tests.relay.queue.test_leases import Watch, holders, one
from tests.relay.stage import BLOCKED, becomes

pytestmark = pytest.mark.django_db(transaction=True)

MARKED = "SELECT count(*) FROM relay_queueddelivery WHERE dot_at IS NOT NULL"
LAST = "WHERE id = (SELECT max(id) FROM relay_queueddelivery)"
TAKEN = f"UPDATE relay_queueddelivery SET fence = fence + 1 {LAST}"
CANCELLED = f"UPDATE relay_queueddelivery SET cancelled_at = now() {LAST}"


@pytest.mark.behaviour(23)
@pytest.mark.parametrize("change", [TAKEN, CANCELLED])
def test_message_is_marked_whole_or_not_at_all(change: str) -> None:
    """Marks of one commit do not hang together across messages."""
    house = mail.organisation()

    async def scenario() -> tuple[Work, Work]:
        await mail.keep(mail.message(house.id, *(f"r{number}@modtager.example" for number in "ab")))
        await mail.keep(mail.message(house.id, *(f"r{number}@modtager.example" for number in "cd")))
        async with holders() as (holder,), await mail.session() as other:
            good, lost = (await holder.claim(Ask(limit=200))).works
            await other.execute(change)
            results = await asyncio.gather(
                *(holder.mark_dots(work.deliveries) for work in (lost, good)),
                return_exceptions=True,
            )
        assert [type(result) for result in results] == [LeaseLost, type(None)]
        return good, lost

    good, lost = mail.run(scenario())
    marked = mail.rows("SELECT message_id FROM relay_queueddelivery WHERE dot_at IS NOT NULL")
    assert marked == [(good.message_id,)] * 2


@pytest.mark.behaviour(22)
def test_neighbour_of_a_lost_lease_is_no_possible_duplicate() -> None:
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> Work:
        await mail.keep(mail.message(house.id, "erik@modtager.example", "ida@modtager.example"))
        async with holders(2, watch=watch) as (late, heir), await mail.session() as other:
            work = await one(late)
            await other.execute(TAKEN)
            with pytest.raises(LeaseLost):
                await late.mark_dots(work.deliveries)
            watch.offset = LEASE + timedelta(seconds=1)
            return await one(heir)

    assert [lease.possible_duplicate for lease in mail.run(scenario()).deliveries] == [False] * 2


def test_cancellation_that_comes_first_keeps_the_dot_back() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,), await mail.session() as person:
            work = await one(holder)
            async with person.transaction():
                await person.execute(CANCELLED)
                marking = asyncio.create_task(holder.mark_dots(work.deliveries))
                await becomes(BLOCKED, 1)
            with pytest.raises(LeaseLost):
                await marking

    mail.run(scenario())
    assert mail.value(MARKED) == 0
