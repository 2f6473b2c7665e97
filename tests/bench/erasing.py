# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasing one recipient from a log of ten million messages, and the search after it.

Carried out as the worker does it, in a process of the worker's role. The erasure has a bar; the
search, which reads every text of the organisation's log, is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import django
import psycopg

from tests.bench.lanes import Side
from tests.bench.logs import DAYS, SMALLER, house, no_room, run, unfit_log
from tests.bench.logseed import Log, seed, the_last
from tests.bench.rows import Row
from tests.rig.service import Service

NAME, NAMED = "rights-erase-10m", 10_000_000
BAR_SECONDS = 5.0
# Of the seeded recipients one who has about a thousand mails in ten million.
ADDRESS = "r435@modtager.example"
LEFT = "SELECT count(*) FROM relay_delivery WHERE organisation_id = %s AND recipient = %s"


async def erasing_rows(service: Service, logged: int, _side: Side) -> list[Row]:
    return await asyncio.to_thread(_rows, service, logged)


def _rows(service: Service, logged: int) -> list[Row]:
    messages = logged or NAMED
    bar = f"< {BAR_SECONDS:.0f} s"
    if why := no_room(service, messages):
        return [Row(name=NAME, ours="-", reference=f"not run: {why}", bar=bar, holds=None)]
    big = house(service)
    # Nothing carries mail here, so that nothing waits.
    seed(service.database_url(), Log(messages=messages, days=the_last(DAYS), big=big, waits=False))
    found = run(service, "duty", "erase", program=__name__, organisation=str(big))
    unfit = unfit_log(service, messages) + [SMALLER] * (messages < NAMED)
    unfit += ["something of the address is left"] * bool(_left(service, big) or found["findings"])
    unfit += ["the address has no mail"] * (not found["rows"])
    return [
        Row(
            name=NAME,
            ours=f"{found['erasure']:.2f} s",
            reference=f"not run: {'; '.join(unfit)}" if unfit else "-",
            bar=bar,
            holds=None if unfit else found["erasure"] < BAR_SECONDS,
            details=[
                f"{NAME}: {messages} messages, {found['rows']} to the address emptied in"
                f" {found['erasure']:.2f} s, the search after it {found['scan']:.1f} s"
            ],
            figures=found,
        )
    ]


def _left(service: Service, big: Any) -> int:
    with psycopg.connect(service.database_url()) as superuser:
        ((left,),) = superuser.execute(LEFT, [big, ADDRESS]).fetchall()
    return int(left)


def erase(organisation: str) -> dict[str, Any]:
    """Return the seconds that the steps before the search took, and the search; as `duty`."""
    from uuid import UUID

    from accounts import clock
    from gdpr.correspondents import run as erasing
    from gdpr.correspondents import steps, subject
    from gdpr.models import AddressErasure

    now = clock.now()
    of: dict[str, Any] = {"organisation_id": UUID(organisation), "language": "da"}
    erasure = AddressErasure(**of, waiting="cancel", asked_at=now, due_at=now, step=steps.LEDGER)
    subject.seal(erasure, ADDRESS)
    erasure.save()
    begun = time.perf_counter()
    while erasure.step != steps.SCAN:
        erasing._take(erasure, now)
        erasure.refresh_from_db()
    emptied = time.perf_counter()
    made = steps.search(erasure, now)
    return {
        "erasure": emptied - begun,
        "scan": time.perf_counter() - emptied,
        "rows": steps.tally_of(erasure).changed["relay.Delivery"],
        "findings": [finding.place for finding in made.findings],
    }


def main(order: dict[str, Any]) -> Any:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    assert order.pop("act") == "erase"
    return erase(**order)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
