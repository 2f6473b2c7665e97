# SPDX-License-Identifier: AGPL-3.0-or-later
"""The lanes: what is sent, against which bar, and what comes out of interleaved rounds."""

from __future__ import annotations

import itertools
import ssl
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.bench.load import Load, Result, Sink, carry
from tests.bench.rows import Row
from tests.rig.usage import cpu_seconds

ROUNDS = 3
WARM_UP = 300  # messages that are not counted, before the first round


# Of the slower side's rate: so much mail a second comes in where the time to 250 is compared.
PACE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """`bar` is the least ratio of ours to the reference that is acceptable.

    With `paced` the load has the same rate on both sides, and what is compared is the 99th
    percentile of the time from when a message was due to its 250; the ratio is the reference's
    over ours. With `signs` both sign what they send.
    """

    name: str
    bar: float
    reuse: bool
    tls: bool = False
    paced: bool = False
    signs: bool = False


LANES = (
    Lane(name="relay-reused", bar=2.0, reuse=True),
    Lane(name="relay-new", bar=1.3, reuse=False),
    Lane(name="relay-tls-reused", bar=1.5, reuse=True, tls=True),
    Lane(name="relay-tls-new", bar=1.5, reuse=False, tls=True),
    Lane(name="relay-paced", bar=1.0, reuse=True, paced=True),
    Lane(name="relay-dkim", bar=2.0, reuse=True, signs=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are measured; `roots` are the processes whose processor time counts."""

    port: int
    sink: Sink
    roots: Callable[[], dict[str, int]]
    username: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None
    server_name: str = ""


@dataclass(slots=True)
class Figures:
    """What the rounds of one side gave."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    cpu_ms_by_process: dict[str, list[float]] = field(default_factory=dict)
    reply_ms_p50: list[float] = field(default_factory=list)
    reply_ms_p99: list[float] = field(default_factory=list)
    duplicates: int = 0
    ciphers: set[tuple[str, str]] = field(default_factory=set)

    def add(self, result: Result, cpu: dict[str, float]) -> None:
        cuts = statistics.quantiles(result.reply_seconds, n=100)
        self.rates.append(round(result.rate, 1))
        self.cpu_ms.append(sum(cpu.values()) * 1000 / result.messages)
        for name, seconds in cpu.items():
            spent = seconds * 1000 / result.messages
            self.cpu_ms_by_process.setdefault(name, []).append(spent)
        self.reply_ms_p50.append(round(cuts[49] * 1000, 2))
        self.reply_ms_p99.append(round(cuts[98] * 1000, 2))
        self.duplicates += result.duplicates
        self.ciphers |= result.ciphers

    def medians(self) -> dict[str, Any]:
        return {
            "rate": statistics.median(self.rates),
            "cpu_ms_per_message": round(statistics.median(self.cpu_ms), 3),
            "cpu_ms_by_process": {
                name: round(statistics.median(spent), 3)
                for name, spent in self.cpu_ms_by_process.items()
            },
            "reply_ms_p50": statistics.median(self.reply_ms_p50),
            "reply_ms_p99": statistics.median(self.reply_ms_p99),
            "duplicates": self.duplicates,
            "rates": self.rates,
            "tls": sorted(" ".join(cipher) for cipher in self.ciphers),
        }


_runs = itertools.count(1)


class Unequal(Exception):
    """The sides did not do the same work; says in what they differ."""


async def measure(lane: Lane, messages: int, sides: list[Side]) -> list[Figures]:
    """Interleave the sides, so that what else the machine does weighs on all of them.

    Raises Unequal.
    """
    figures = [Figures() for _ in sides]
    for side in sides:
        await _run(lane, WARM_UP, side)
    rate = 0.0
    if lane.paced:
        # The warm-up is slower than what comes after it.
        rate = PACE * min([(await _run(lane, messages, side)).rate for side in sides])
    for _ in range(ROUNDS):
        for side, found in zip(sides, figures, strict=True):
            before = _cpu(side)
            result = await _run(lane, messages, side, rate)
            found.add(result, {name: spent - before[name] for name, spent in _cpu(side).items()})
    ciphers = {tuple(sorted(found.ciphers)) for found in figures}
    if len(ciphers) > 1:
        raise Unequal(f"TLS differs: {sorted(ciphers)}")
    return figures


def _cpu(side: Side) -> dict[str, float]:
    return {name: cpu_seconds([pid]) for name, pid in side.roots().items()}


async def _run(lane: Lane, messages: int, side: Side, rate: float = 0.0) -> Result:
    load = Load(
        port=side.port,
        messages=messages,
        reuse=lane.reuse,
        username=side.username,
        password=side.password,
        tls=side.tls if lane.tls else None,
        server_name=side.server_name,
        rate=rate,
    )
    return await carry(load, side.sink, f"{lane.name}.{next(_runs)}")


def row(lane: Lane, figures: list[Figures], not_run: str) -> Row:
    """The row of a lane; `not_run` says why there is nothing to compare with."""
    ours = figures[0].medians()
    found = {"ours": ours}
    text = {"name": lane.name, "ours": _figure(lane, ours), "bar": f">= {lane.bar}x"}
    if not_run:
        return Row(
            **text,
            reference=f"not run: {not_run}",
            holds=None,
            details=_details(lane, found),
            figures=found,
        )
    reference = found["reference"] = figures[1].medians()
    ratio = ours["rate"] / reference["rate"]
    if lane.paced:
        ratio = reference["reply_ms_p99"] / ours["reply_ms_p99"]
    return Row(
        **text,
        reference=_figure(lane, reference),
        ratio=f"{ratio:.2f}x",
        holds=ratio >= lane.bar,
        details=_details(lane, found),
        figures=found,
    )


def _figure(lane: Lane, found: dict[str, Any]) -> str:
    return f"p99 {found['reply_ms_p99']:.1f} ms" if lane.paced else f"{found['rate']:.0f} msg/s"


def _details(lane: Lane, sides: dict[str, dict[str, Any]]) -> list[str]:
    return [_detail(f"{lane.name} {side}", found) for side, found in sides.items()]


def _detail(name: str, found: dict[str, Any]) -> str:
    parts = ", ".join(f"{part} {ms:.2f}" for part, ms in found["cpu_ms_by_process"].items())
    return (
        f"{name}: {found['cpu_ms_per_message']:.2f} CPU-ms a message ({parts}), "
        f"time to 250 p50 {found['reply_ms_p50']:.1f} ms, p99 {found['reply_ms_p99']:.1f} ms, "
        f"{found['duplicates']} duplicates, rounds {found['rates']} {' '.join(found['tls'])}"
    )
