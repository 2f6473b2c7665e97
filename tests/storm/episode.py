# SPDX-License-Identifier: AGPL-3.0-or-later
"""One episode: bursts of mail, something struck at a random time in each, then the reckoning."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.storm.farend import Arrival, Cut
from tests.storm.ledgers import RECLAIM_BAR, SHORTEST, Allowed, Ours, Verdict, compare, read_ours
from tests.storm.stage import Stage
from tests.storm.targets import Target

STRIKE_WITHIN = 0.6  # seconds after a burst began
FLOW_SECONDS = 150.0  # how long a burst waits for deliveries to flow again
STUCK_BAR = 600.0
SLOWER_BAR = 2.0  # p95 of the rest beside poison, against what it was before
LEAST_P95 = 1.0  # seconds: less is no delay
# No lease is longer than that; what is due later can be waited for by the clock.
BEYOND_LEASES = 62.0
# So far the clock is moved at least, so that not every delivery has a step of its own.
STRIDE = 4.0
# A lease from before the clock was put back lasts an hour longer than one; the clock ends it.
# What was accepted before the clock was put back is due in an hour, whoever holds it.
LEASED = """
SELECT id, fence FROM relay_queueddelivery
WHERE greatest(lease_expires_at, due_at) < to_timestamp(%s) AND lease_expires_at IS NOT NULL
"""
FENCES = "SELECT id, fence FROM relay_queueddelivery"
QUEUED = """
SELECT count(*), extract(epoch FROM min(greatest(due_at, lease_expires_at)))::float8,
    extract(epoch FROM min(due_at) FILTER (WHERE lease_expires_at IS NULL))::float8
FROM relay_queueddelivery
"""
ALERTED = """
SELECT extract(epoch FROM last_at)::float8 FROM accounts_alert
WHERE kind = %s AND last_at >= to_timestamp(%s) ORDER BY last_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is struck in turn, over how many messages; `drain_seconds` for the queue to empty.

    `patience` multiplies the bars of time: where a machine is shared, they say little.
    """

    strikes: Sequence[Target]
    messages: int
    drain_seconds: float = 600.0
    patience: float = 1.0


@dataclass(slots=True)
class Times:
    """Seconds, one of each strike, from the return of what was struck until mail went on.

    `reclaim` counts from the strike until another claim had the leases that were held then,
    `alerts` by the service's clock.
    """

    struck: list[Target] = field(default_factory=list)
    intake: list[float] = field(default_factory=list)
    delivery: list[float] = field(default_factory=list)
    reclaim: list[float] = field(default_factory=list)
    in_flight: list[int] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    alerts: dict[str, tuple[float, float]] = field(default_factory=dict)  # kind: seconds, bar
    overdue: float = 0.0

    def table(self) -> list[str]:
        """A line for each strike, for a person who looks for the slow one."""
        columns = zip(self.struck, self.in_flight, self.intake, self.delivery, strict=True)
        return [
            f"{one.name:<16} in flight {flying:>2}, intake {intake:5.1f} s, "
            f"delivery {delivery:5.1f} s"
            for one, flying, intake, delivery in columns
        ]


class Episode:
    """One plan carried out on a stage of its own."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage, self.plan, self.chance = stage, plan, stage.chance
        self.far_end, self.client = stage.far_end, stage.client
        self.times = Times()
        self.ended: list[str] = []
        self.over = False
        self._watches: list[asyncio.Task[None]] = []

    async def run(self) -> Verdict:
        """Carry out the plan; returns what the ledgers and the clock say."""
        await self.client.burst("first", 1)
        await self._until_delivered(0.0)
        share = self.plan.messages // (len(self.plan.strikes) + 1)
        await self.client.burst("calm", share)
        for number, target in enumerate(self.plan.strikes):
            await self._strike_in_burst(target, f"{number}.{target.name}", share)
        drained = await self._drain()
        self.over = True
        await asyncio.gather(*self._watches)
        self.ended += self.stage.service.revive()
        return self._reckon(drained)

    async def _strike_in_burst(self, target: Target, name: str, messages: int) -> None:
        burst = asyncio.create_task(self.client.burst(name, messages, target.spread))
        if not target.early:
            await asyncio.sleep(self.chance.random() * STRIKE_WITHIN)
        leased = await self._leased() if target.delivers else {}
        self.times.struck.append(target)
        self.times.in_flight.append(self.far_end.in_flight())
        struck, by_clock = time.monotonic(), self.stage.clock.now()
        await target.strike(self.stage)
        if target.cuts is not None:
            self.times.cuts.append(Cut(struck, time.monotonic() + target.cuts))
        for kind, bar in target.alerts.items():
            self._watch(self._until_alert(kind, by_clock, bar))
        if leased:
            self._watch(self._until_reclaimed(leased, struck))
        await asyncio.sleep(self.chance.uniform(target.shortest, target.longest))
        await target.restore(self.stage)
        back = time.monotonic()
        self.ended += self.stage.service.revive()
        await asyncio.gather(burst, self._flow(f"{name}.after", back))
        dropped = [at for at in self.stage.ledger.dropped if struck <= at <= back]
        self.times.dropped.append(len(dropped) if target.keeps else 0)

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
        number = 0
        while time.monotonic() < deadline:
            if self.far_end.arrivals and self.far_end.arrivals[-1] > since:
                break
            await asyncio.sleep(0.02)
            if not (number := number + 1) % 100:
                # Mail of the sandbox never arrives, so there may be none on its way.
                await self.client.burst(f"more.{since}.{number}", 1)
        return next((at for at in self.far_end.arrivals if at > since), deadline)

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        self._watches.append(asyncio.create_task(work))

    async def _leased(self) -> dict[int, int]:
        return dict(await self.stage.ask(LEASED, [self.stage.clock.now() + BEYOND_LEASES]))

    async def _until_reclaimed(self, leased: dict[int, int], struck: float) -> None:
        """Watch the leases that were held at the strike until another claim has each of them."""
        last = struck
        while leased and not self.over:
            await asyncio.sleep(0.5)
            fences = dict(await self.stage.ask(FENCES))
            leased = {row: fence for row, fence in leased.items() if fences.get(row) == fence}
            last = time.monotonic()
        self.times.reclaim.append(last - struck)

    async def _until_alert(self, kind: str, since: float, bar: float) -> None:
        """Note how long the operator was not told, by the service's clock."""
        while True:
            is_last = self.over
            if found := await self.stage.ask(ALERTED, [kind, since]):
                self.times.alerts[kind] = round(found[0][0] - since, 1), bar
                return
            if is_last:
                self.times.alerts[kind] = float("inf"), bar
                return
            await asyncio.sleep(0.5)

    async def _drain(self) -> float:
        """Wait until nothing is queued, by the clock where only that is in the way.

        Returns the seconds that took.
        """
        begun = time.monotonic()
        while time.monotonic() < begun + self.plan.drain_seconds:
            count, next_at, due_at = (await self.stage.ask(QUEUED))[0]
            if count == 0:
                break
            now = self.stage.clock.now()
            if due_at is not None:
                since = max(due_at, self.stage.clock.put_forward)
                self.times.overdue = max(self.times.overdue, now - since)
            if now + BEYOND_LEASES < next_at or (due_at == next_at and next_at > now + 1):
                self.stage.clock.move(next_at - now + STRIDE)
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    def _reckon(self, drained: float) -> Verdict:
        ours, copies = self._ours(), self.far_end.copies()
        verdict = compare(self.stage.ledger, ours, copies, self._allowed())
        verdict.must_be("processes that ended by themselves", len(self.ended))
        verdict.figures["which"] = sorted(set(self.ended))
        verdict.figures["strikes"] = len(self.plan.strikes)
        verdict.figures["strikes that met mail in flight"] = sum(map(bool, self.times.in_flight))
        self._judge_times(verdict)
        self._judge_storms(verdict)
        self._judge_the_rest(verdict)
        verdict.strikes = self.times.table()
        verdict.figures["queue empty after the last strike, s"] = round(drained, 1)
        return verdict

    def _ours(self) -> Ours:
        ours = read_ours(self.stage.service.database_url(), self.stage.clock.put_back)
        before = self.stage.before
        return replace(ours, rows={**before.rows, **ours.rows}) if before else ours

    def _allowed(self) -> Allowed:
        """What the lines cut was ambiguous as well, and so was what poison took along."""
        deaths = self.stage.deaths
        died = map(float, deaths.read_text().split()) if deaths.exists() else ()
        faults = [at for hop in self.stage.hops for at in hop.faults]
        ended = [Cut(at, at + 0.2) for at in died]
        cuts = [*self.times.cuts, *ended, *(Cut(at, at) for at in faults)]
        met = sum(self.far_end.met_by(cut) for cut in ended) + len(faults)
        return Allowed(
            cuts=cuts,
            in_flight=sum(self.times.in_flight) + met,
            ends=any(target.ends for target in self.plan.strikes),
            late=any(target.name != "hop" for target in self.plan.strikes),
        )

    def _judge_times(self, verdict: Verdict) -> None:
        times, patience = self.times, self.plan.patience
        for bar in sorted({target.bar for target in times.struck}):
            found = [s for t, s in zip(times.struck, times.intake, strict=True) if t.bar == bar]
            name = f"slowest intake after return, of {bar:.0f} s"
            verdict.must_be(name, _most(found), bar * patience)
        for bar in sorted({target.flow for target in times.struck}):
            found = [s for t, s in zip(times.struck, times.delivery, strict=True) if t.flow == bar]
            name = f"slowest delivery after return, of {bar:.0f} s"
            verdict.must_be(name, _most(found), bar * patience)
        reclaim = RECLAIM_BAR * patience
        verdict.must_be("slowest lease reclaimed, s", _most(times.reclaim), reclaim)
        verdict.must_be("dropped after 354 by a stop", sum(times.dropped))
        verdict.must_be("longest overdue at the end, s", round(times.overdue, 1), STUCK_BAR)
        for kind, (seconds, bar) in times.alerts.items():
            verdict.must_be(f"alert {kind} after, s", seconds, bar * patience)

    def _judge_storms(self, verdict: Verdict) -> None:
        """No delivery is tried again before the shortest step is over, whatever the clock does.

        What was taken in hand while it was ahead may leave once it is put back: one try each.
        """
        cuts, storms, put_back = self._allowed().cuts, [], self.stage.clock.put_back
        last: dict[tuple[str, str], Arrival] = {}
        for came in self.far_end.came:
            for recipient in came.recipients:
                # A client that was unsure hands the same in twice.
                before = last.get((came.name, recipient))
                gap = came.at - before.at if before else SHORTEST
                if before and any(before.at <= at <= came.at for at in put_back):
                    gap = SHORTEST
                if before and gap < SHORTEST and not any(before.met(cut) for cut in cuts):
                    storms.append(f"{came.mark} after {gap:.1f} s, {before.was_kept=}")
                last[came.name, recipient] = came
        verdict.must_be(f"tried again within {SHORTEST:.0f} s", len(storms))
        verdict.figures["which of them"] = storms

    def _judge_the_rest(self, verdict: Verdict) -> None:
        """Poison must not delay what is sent beside it."""
        for number, target in enumerate(self.plan.strikes):
            if target.aside:
                calm = max(LEAST_P95, self._p95("calm."))
                beside = self._p95(f"{number}.{target.name}.") / calm
                verdict.must_be(f"p95 beside {target.name}, times", round(beside, 2), SLOWER_BAR)

    def _p95(self, prefix: str) -> float:
        """Of the seconds from a message's 250 until its first copy lay at the far end."""
        arrived: dict[str, float] = {}
        for came in self.far_end.came:
            if came.was_kept:
                arrived.setdefault(came.mark, came.answered_at)
        accepted = self.stage.ledger.accepted_at
        took = [at - accepted[m] for m, at in arrived.items() if m.startswith(prefix)]
        return statistics.quantiles(took, n=20)[-1] if len(took) > 1 else 0.0


def _most(seconds: list[float]) -> float:
    return round(max(seconds, default=0.0), 1)
