# SPDX-License-Identifier: AGPL-3.0-or-later
"""One organisation's backlog beside another's few messages (relay-fair), and alone (relay-alone).

The noisy one's mail goes to a server that takes connections and never says a word. Times from
acceptance to delivery are those of the log.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import psycopg

from tests.bench.lanes import ROUNDS, Side
from tests.bench.load import LOOPBACK, SENDER, Load, carry, submit
from tests.bench.rows import Row
from tests.rig.service import DOMAIN, Service, SignIn, Tenant

NOISY_DOMAIN = "stor.example"
NOISY = f"hej@{NOISY_DOMAIN}"
BACKLOG, FEW = 50_000, 100
FAIR_SECONDS, FAIR_RATIO, ALONE_RATIO = 10.0, 2.0, 0.9
# The shift meets the silent server with as much as it lets one organisation have.
SETTLING_SECONDS = 5.0
HOLD = """
INSERT INTO relay_hold (organisation_id, reason, held_at)
SELECT organisation_id, 'held', now() FROM relay_sendingdomain WHERE name = ANY(%s)
"""
# One route has as many connections as two, or these would be what is compared.
CONNECTIONS = 40
WIDTH = "UPDATE relay_route SET concurrency = %s, version = version + 1"
SILENCED = """
UPDATE relay_route r SET port = %s, version = version + 1 FROM relay_sendingdomain d
WHERE d.organisation_id = r.organisation_id AND d.name = %s
"""
TIMES = """
SELECT extract(epoch FROM a.finished_at - a.accepted_at)::float FROM relay_attempt a
JOIN relay_sendingdomain d ON d.organisation_id = a.organisation_id AND d.name = %s
WHERE a.verdict = 'delivered' ORDER BY a.finished_at DESC LIMIT %s
"""


async def fair_rows(service: Service, messages: int, side: Side) -> list[Row]:
    """Measure the noisy one alone first, while its mail still goes somewhere."""
    silent = await asyncio.start_server(_say_nothing, LOOPBACK, 0)
    port = silent.sockets[0].getsockname()[1]
    service.extra["RELAY_EGRESS_LOOPBACK_PORTS"] = f"{service.route_port},{port}"
    service.restart("delivery")
    loads = Loads(service, side)
    alone = await _alone(loads, messages)
    few_alone = [await loads.few() for _ in range(ROUNDS)]
    loads.write(SILENCED, port, NOISY_DOMAIN)
    await submit(loads.load(NOISY, BACKLOG), "backlog")
    await asyncio.sleep(SETTLING_SECONDS)
    beside = [await loads.few() for _ in range(ROUNDS)]
    return [alone, _fair(beside, few_alone)]


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


class Loads:
    """The loads of the two organisations of one service."""

    def __init__(self, service: Service, side: Side) -> None:
        (noisy,) = service.populate([Tenant(NOISY_DOMAIN, service.route_port)])
        self._sign_ins = {SENDER: service.sign_in, NOISY: noisy}
        self._url = service.database_url()
        self._sink = side.sink
        self._run = 0

    def load(self, sender: str, messages: int) -> Load:
        sign_in: SignIn = self._sign_ins[sender]
        return Load(
            port=sign_in.port,
            messages=messages,
            reuse=True,
            username=sign_in.username,
            password=sign_in.password,
            sender=sender,
            seconds=600.0,
        )

    async def few(self) -> float:
        """Send the few messages; returns the 95th percentile of acceptance to delivery."""
        self._run += 1
        await carry(self.load(SENDER, FEW), self._sink, f"few.{self._run}")
        times: list[float] = []
        while len(times) < FEW:
            # The answers are written a moment after the mail has arrived.
            await asyncio.sleep(0.2)
            times = [row[0] for row in self.write(TIMES, DOMAIN, FEW)]
        return statistics.quantiles(times, n=20)[18]

    async def drain(self, counts: dict[str, int]) -> float:
        """Let mail of these senders wait, release it at once; returns messages a second."""
        self._run += 1
        self.write(WIDTH, CONNECTIONS // len(counts))
        self.write(HOLD, [sender.partition("@")[2] for sender in counts])
        for sender, count in counts.items():
            await submit(self.load(sender, count), f"drain.{self._run}.{sender.partition('@')[2]}")
        complete = self._sink.expect(sum(counts.values()))
        self.write("DELETE FROM relay_hold")
        # Nothing wakes a shift here: up to a second goes by until it looks.
        while not self._sink.seen:
            await asyncio.sleep(0.001)
        begun, rest = time.perf_counter(), sum(counts.values()) - len(self._sink.seen)
        return rest / (await complete - begun)

    def write(self, sql: str, *values: Any) -> list[Any]:
        with psycopg.connect(self._url, autocommit=True) as superuser:
            cursor = superuser.execute(sql, values)
            return cursor.fetchall() if cursor.description else []


async def _alone(loads: Loads, messages: int) -> Row:
    """What one organisation gets of what two get together, from the same backlog."""
    alone, both = [], []
    for _ in range(ROUNDS):
        alone.append(round(await loads.drain({NOISY: 2 * messages}), 1))
        both.append(round(await loads.drain({NOISY: messages, SENDER: messages}), 1))
    ours, reference = statistics.median(alone), statistics.median(both)
    return Row(
        name="relay-alone",
        ours=f"{ours:.0f} msg/s",
        reference=f"two: {reference:.0f} msg/s",
        ratio=f"{ours / reference:.2f}x",
        bar=f">= {ALONE_RATIO}x",
        holds=ours >= ALONE_RATIO * reference,
        details=[f"relay-alone: rounds {alone}, two together {both}"],
        figures={"rates": alone, "rates_of_two": both},
    )


def _fair(beside: list[float], alone: list[float]) -> Row:
    ours, reference = statistics.median(beside), statistics.median(alone)
    rounds = {"seconds": beside, "seconds_alone": alone}
    return Row(
        name="relay-fair",
        ours=f"p95 {ours:.2f} s",
        reference=f"alone: {reference:.2f} s",
        ratio=f"{ours / reference:.2f}x",
        bar=f"<= {FAIR_SECONDS:.0f} s, {FAIR_RATIO}x",
        holds=ours <= min(FAIR_SECONDS, FAIR_RATIO * reference),
        details=[f"relay-fair: {FEW} messages beside {BACKLOG} to a silent server, {rounds}"],
        figures=rounds,
    )
