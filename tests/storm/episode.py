# SPDX-License-Identifier: AGPL-3.0-or-later
"""One episode: bursts of mail, something struck at a random time in each, then the reckoning."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.rig.service import Service
from tests.storm.client import Client, Ledger
from tests.storm.farend import Cut, FarEnd
from tests.storm.ledgers import RECLAIM_BAR, Verdict, compare, read_ours
from tests.storm.targets import RECONNECT_BAR, Target

STRIKE_WITHIN = 0.6  # seconds after a burst began
FLOW_SECONDS = 60.0  # how long a burst waits for deliveries to flow again
FLOW_BAR = 30.0
LEASED = "SELECT id, fence FROM relay_queueddelivery WHERE lease_expires_at IS NOT NULL"
FENCES = "SELECT id, fence FROM relay_queueddelivery"
QUEUED = "SELECT count(*), 0 FROM relay_queueddelivery"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is struck in turn, over how many messages; `drain_seconds` for the queue to empty."""

    strikes: Sequence[Target]
    messages: int
    drain_seconds: float = 240.0


@dataclass(slots=True)
class Times:
    """Seconds, one of each strike, from the return of what was struck until mail went on.

    `reclaim` counts from the strike until another claim had the leases that were held then.
    """

    struck: list[str] = field(default_factory=list)
    intake: list[float] = field(default_factory=list)
    delivery: list[float] = field(default_factory=list)
    reclaim: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    def table(self) -> list[str]:
        """A line for each strike, for a person who looks for the slow one."""
        columns = zip(self.struck, self.in_flight, self.intake, self.delivery, strict=True)
        return [
            f"{name:<18} in flight {flying:>2}, intake {intake:5.1f} s, delivery {delivery:5.1f} s"
            for name, flying, intake, delivery in columns
        ]


class Episode:
    """One plan carried out on a service and a far end that are its own."""

    def __init__(self, service: Service, far_end: FarEnd, plan: Plan, seed: str) -> None:
        self.service, self.far_end, self.plan = service, far_end, plan
        self.chance = random.Random(seed)
        self.ledger = Ledger()
        self.client = Client(service.sign_in, self.ledger, self.chance)
        self.times = Times()
        self.ended: list[str] = []
        self.over = False
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> Verdict:
        """Carry out the plan; returns what the ledgers and the clock say."""
        await self.client.burst("first", 1)
        await self._until_delivered(0.0)
        share = self.plan.messages // len(self.plan.strikes)
        for number, target in enumerate(self.plan.strikes):
            await self._strike_in_burst(target, f"{number}.{target.name}", share)
        drained = await self._drain()
        self.over = True
        await asyncio.gather(*self._watches)
        self.ended += self.service.revive()
        return self._reckon(drained)

    async def _strike_in_burst(self, target: Target, name: str, messages: int) -> None:
        burst = asyncio.create_task(self.client.burst(name, messages))
        await asyncio.sleep(self.chance.random() * STRIKE_WITHIN)
        leased = await self._leased() if target.delivers else {}
        self.times.struck.append(target.name)
        self.times.in_flight.append(self.far_end.in_flight())
        struck = time.monotonic()
        target.strike(self.service, self.chance)
        if target.cuts is not None:
            self.times.cuts.append(Cut(struck, time.monotonic() + target.cuts))
        if leased:
            self._watch(self._until_reclaimed(leased, struck))
        await asyncio.sleep(self.chance.uniform(target.shortest, target.longest))
        await asyncio.to_thread(target.restore, self.service)
        back = time.monotonic()
        self.ended += self.service.revive()
        await asyncio.gather(burst, self._flow(f"{name}.after", back))

    async def _flow(self, name: str, back: float) -> None:
        """Note when a new message is accepted, and when a delivery arrives, after `back`.

        The next strike waits for both: it has to hit something.
        """
        await self.client.burst(name, 1)
        self.times.intake.append(time.monotonic() - back)
        self.times.delivery.append(await self._until_delivered(back) - back)

    async def _until_delivered(self, since: float) -> float:
        """Wait for an arrival after `since`; returns its instant, or that of giving up."""
        deadline = time.monotonic() + FLOW_SECONDS
        while time.monotonic() < deadline:
            if self.far_end.arrivals and self.far_end.arrivals[-1] > since:
                break
            await asyncio.sleep(0.02)
        return next((at for at in self.far_end.arrivals if at > since), deadline)

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        self._watches.append(asyncio.create_task(work))

    async def _leased(self) -> dict[int, int]:
        return dict(await self._ask(LEASED))

    async def _until_reclaimed(self, leased: dict[int, int], struck: float) -> None:
        """Watch the leases that were held at the strike until another claim has each of them."""
        last = struck
        while leased and not self.over:
            await asyncio.sleep(0.5)
            fences = dict(await self._ask(FENCES))
            leased = {row: fence for row, fence in leased.items() if fences.get(row) == fence}
            last = time.monotonic()
        self.times.reclaim.append(last - struck)

    async def _drain(self) -> float:
        """Wait until nothing is queued; returns the seconds that took."""
        begun = time.monotonic()
        while time.monotonic() < begun + self.plan.drain_seconds:
            if await self._ask(QUEUED) == [(0, 0)]:
                break
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    async def _ask(self, statement: str) -> list[tuple[int, int]]:
        """Query the database, again and again while it is what was struck."""
        while True:
            try:
                return await asyncio.to_thread(self._query, statement)
            except psycopg.OperationalError:
                await asyncio.sleep(0.2)

    def _query(self, statement: str) -> list[tuple[int, int]]:
        with psycopg.connect(self.service.database_url(), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def _reckon(self, drained: float) -> Verdict:
        ours = read_ours(self.service.database_url())
        copies = self.far_end.copies()
        verdict = compare(self.ledger, ours, copies, sum(self.times.in_flight), self.times.cuts)
        verdict.must_be("processes that ended by themselves", len(self.ended))
        verdict.figures["which"] = sorted(set(self.ended))
        verdict.figures["strikes"] = len(self.plan.strikes)
        verdict.figures["strikes that met mail in flight"] = sum(map(bool, self.times.in_flight))
        verdict.must_be("slowest intake after return, s", _most(self.times.intake), RECONNECT_BAR)
        verdict.must_be("slowest delivery after return, s", _most(self.times.delivery), FLOW_BAR)
        verdict.must_be("slowest lease reclaimed, s", _most(self.times.reclaim), RECLAIM_BAR)
        verdict.strikes = self.times.table()
        verdict.figures["queue empty after the last strike, s"] = round(drained, 1)
        return verdict


def _most(seconds: list[float]) -> float:
    return round(max(seconds, default=0.0), 1)
