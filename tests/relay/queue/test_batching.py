# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes into which batch: at once, or patiently together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from relay.queue.batching import GroupCommit

NEVER = 3600.0


@asynccontextmanager
async def groups(
    patience: float, enough: int
) -> AsyncIterator[tuple[GroupCommit[str], list[list[str]]]]:
    batches: list[list[str]] = []

    async def write(items: Sequence[str]) -> Sequence[str]:
        batches.append(list(items))
        return items

    group = GroupCommit[str](write, most=10, patience=patience, enough=enough)
    group.start()
    yield group, batches
    await group.stop()


def test_patient_items_wait_for_enough_of_them_while_others_go_at_once() -> None:
    async def scenario() -> list[list[str]]:
        async with groups(NEVER, 2) as (group, batches):
            first = group.submit("settled", patient=True)
            assert await group.submit("marked") == "marked"
            assert not first.done()
            await asyncio.gather(first, group.submit("settled too", patient=True))
        return batches

    assert asyncio.run(scenario()) == [["marked"], ["settled", "settled too"]]


def test_patience_ends() -> None:
    async def scenario() -> list[list[str]]:
        async with groups(0.001, 100) as (group, batches):
            for number in "12":
                await asyncio.wait_for(group.submit(number, patient=True), 30)
        return batches

    assert asyncio.run(scenario()) == [["1"], ["2"]]


def test_stop_writes_what_is_held_back() -> None:
    async def scenario() -> list[list[str]]:
        async with groups(NEVER, 100) as (group, batches):
            held = group.submit("settled", patient=True)
        assert await held == "settled"
        return batches

    assert asyncio.run(scenario()) == [["settled"]]
