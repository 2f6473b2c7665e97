# SPDX-License-Identifier: AGPL-3.0-or-later
"""A settlement that waits for another change of its rows writes all that it has to."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.relay import mail
from tests.relay.queue.test_leases import claim, delivered, holders
from tests.relay.stage import somebody_waits

pytestmark = pytest.mark.django_db(transaction=True)

LATER = "UPDATE relay_queueddelivery SET lease_expires_at = lease_expires_at + interval '1 second'"


@pytest.mark.behaviour(24)
# What the planner begins with depends on the statistics.
@pytest.mark.parametrize("analysed", ["relay_queueddelivery", "relay_content", "relay_delivery"])
def test_row_changed_meanwhile_is_settled_and_logged(analysed: str) -> None:
    house = mail.organisation()
    mail.execute(f"ANALYZE {analysed}")

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id, "ida@modtager.example") for _ in range(20)))
        async with holders() as (holder,):
            works = await claim(holder)
            other = await mail.session()
            async with other, other.transaction():
                await other.execute(LATER)
                settled = [
                    asyncio.ensure_future(
                        holder.settle(work, tuple(map(delivered, work.deliveries)))
                    )
                    for work in works
                ]
                await somebody_waits()
            await asyncio.gather(*settled)

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == 0
    assert Counter(mail.rows("SELECT state FROM relay_delivery")) == {("delivered",): 20}
    told = "SELECT count(*) FROM relay_message WHERE content_destroyed_at IS NOT NULL"
    assert mail.value(told) == 20
