# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from relay.queue import HotConnection
from relay.queue.statements import CLAIM
from tests.relay import mail

pytestmark = pytest.mark.django_db(transaction=True)


async def claim_plan() -> str:
    """Plan a claim as the shifts' connection does it, on the queue as it is."""
    hot = HotConnection(mail.dsn())
    async with hot.use() as connection:
        values = {
            "owner": uuid4(),
            "limit": 200,
            "now": mail.now(),
            "until": mail.now(),
            "crowded": [uuid4()],
            "inline": 1,
        }
        cursor = psycopg.AsyncClientCursor(connection)
        await cursor.execute("EXPLAIN " + CLAIM.replace(")b", ")s"), values)
        plan = "\n".join(line for (line,) in await cursor.fetchall())
    await hot.close()
    return plan


def test_claim_planned_on_an_empty_queue_suits_a_full_one() -> None:
    """It walks the index of due mail and stops at the limit; sorting a million rows would not."""
    plan = mail.run(claim_plan())
    walk = plan[plan.index("LockRows") :].splitlines()[1]
    assert "Index Scan using queueddelivery_due" in walk, plan
