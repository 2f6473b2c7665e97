# SPDX-License-Identifier: AGPL-3.0-or-later
"""Two submission processes and two shifts over one of each (relay-processes), on one machine."""

from __future__ import annotations

import asyncio
import statistics

from tests.bench.lanes import Lane, Side, measure
from tests.bench.rows import Row
from tests.rig.service import Service

# On as many cores as load and far end use up already there is little to win; nothing may be lost.
LANES = (
    Lane(name="relay-processes-reused", bar=0.9, reuse=True),
    Lane(name="relay-processes-new", bar=0.9, reuse=False),
)
# By then beat has filled the second slot, and celery has started.
SETTLING_SECONDS = 15.0


async def processes_rows(service: Service, messages: int, side: Side) -> list[Row]:
    """Measure one of each first, then two."""
    one = [await _rates(lane, messages, side) for lane in LANES]
    service.extra["RELAY_SHIFTS"] = "2"
    for name in ("smtp", "delivery"):
        service.restart(name)
    service.start_all(["smtp2"])
    await asyncio.sleep(SETTLING_SECONDS)
    two = [await _rates(lane, messages, side) for lane in LANES]
    return [_row(lane, *rates) for lane, *rates in zip(LANES, two, one, strict=True)]


async def _rates(lane: Lane, messages: int, side: Side) -> list[float]:
    (figures,) = await measure(lane, messages, [side])
    return figures.rates


def _row(lane: Lane, two: list[float], one: list[float]) -> Row:
    ours, reference = statistics.median(two), statistics.median(one)
    return Row(
        name=lane.name,
        ours=f"{ours:.0f} msg/s",
        reference=f"one: {reference:.0f} msg/s",
        ratio=f"{ours / reference:.2f}x",
        bar=f">= {lane.bar}x",
        holds=ours >= lane.bar * reference,
        details=[f"{lane.name}: two of each {two}, one of each {one}"],
        figures={"rates": two, "rates_of_one": one},
    )
