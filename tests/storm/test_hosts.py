# SPDX-License-Identifier: AGPL-3.0-or-later
"""Two hosts that share the database, Redis and the keys, and nothing else (docs/scaling.md)."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from relay.shift import SLOT_CLASS
from tests.storm import strikes
from tests.storm.episode import Episode, Plan
from tests.storm.faults import planting
from tests.storm.stage import Stage, staged
from tests.storm.targets import Target

pytestmark = [pytest.mark.storm, pytest.mark.full, pytest.mark.timeout(900)]

# Beside the first host's own two: two more on it, two on another. A delivery works one shift and
# keeps a child for the upkeep of hour keys.
HOSTS = {"": ("smtp2", "delivery2"), "b": ("smtp", "delivery")}
SHIFTS = 3
SLOTS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND granted"


async def until_every_shift_works(stage: Stage) -> None:
    deadline = time.monotonic() + 120
    while await stage.ask(SLOTS, [SLOT_CLASS]) != [(SHIFTS,)]:
        assert time.monotonic() < deadline, "not every slot is taken"
        await asyncio.sleep(0.2)


def host(name: str) -> Target:
    return Target(
        name=f"host-{name or 'a'}",
        strike=partial(strikes.kill_host, name=name),
        restore=strikes.revive_processes,
        delivers=True,
        shortest=1.0,
        cuts=0.5,
        bar=30.0,
    )


def test_two_hosts_work_as_one_and_either_may_die() -> None:
    async def run() -> tuple[Stage, list[str]]:
        extra = planting(["short-lease"]) | {"RELAY_SHIFTS": str(SHIFTS)}
        async with staged("hosts", extra, 0.08, hosts=HOSTS) as stage:
            await until_every_shift_works(stage)
            episode = Episode(stage, Plan([host(""), host("b"), host("")], 240, 120.0))
            return stage, (await episode.run()).broken

    stage, broken = asyncio.run(run())
    assert broken == []
    carried = {came.host for came in stage.far_end.came}
    took = {copy.content.split(b"by ")[1].split()[0] for copy in stage.far_end.copies()}
    assert carried == {"relay.localhost", "b.localhost"}
    assert took == {b"relay.localhost", b"b.localhost"}
    stage.service.forget()
