# SPDX-License-Identifier: AGPL-3.0-or-later
"""Resident memory of the submission server: with idle sessions, and over many messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

from tests.bench.lanes import ROUNDS, Lane, Side, measure
from tests.bench.load import LOOPBACK
from tests.bench.rows import Row
from tests.rig.service import Service
from tests.rig.usage import resident_octets

MEBIBYTE = 1024 * 1024
IDLE_SESSIONS, IDLE_MEBIBYTES = 500, 200
FLAT = Lane(name="relay-memory-flat", bar=0.0, reuse=True)
FLAT_MESSAGES = 100_000
# What an allocator may add to what was there after the first part, without being a leak.
FLAT_GROWTH = 0.05
PARTS = 10


async def memory_rows(service: Service, _messages: int, side: Side) -> list[Row]:
    return [await _idle(service, side), await _flat(service, side)]


def resident(service: Service) -> float:
    """Return the mebibytes of all processes of the submission server together."""
    return resident_octets([service.processes["smtp"].pid]) / MEBIBYTE


async def _idle(service: Service, side: Side) -> Row:
    async with AsyncExitStack() as sessions:
        for _ in range(IDLE_SESSIONS):
            sessions.push_async_callback(await _session(side))
        await asyncio.sleep(1)
        used = resident(service)
    return Row(
        name="relay-memory-idle",
        ours=f"{used:.0f} MiB",
        bar=f"< {IDLE_MEBIBYTES} MiB",
        holds=used < IDLE_MEBIBYTES,
        details=[f"relay-memory-idle: {IDLE_SESSIONS} sessions under TLS after EHLO"],
        figures={"mebibytes": used},
    )


async def _session(side: Side) -> Callable[[], Awaitable[None]]:
    """Open one session as far as EHLO under TLS; returns how to close it."""
    reader, writer = await asyncio.open_connection(LOOPBACK, side.port)
    await reader.readline()
    await _say(reader, writer, b"EHLO client.example\r\n")
    await _say(reader, writer, b"STARTTLS\r\n")
    assert side.tls is not None
    await writer.start_tls(side.tls, server_hostname=side.server_name)
    await _say(reader, writer, b"EHLO client.example\r\n")

    async def close() -> None:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    return close


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes) -> None:
    writer.write(command)
    while (await reader.readline())[3:4] == b"-":
        pass


async def _flat(service: Service, side: Side) -> Row:
    """Measure after each part; the first one fills the caches, and the others are held to it."""
    used = []
    for _ in range(PARTS):
        await measure(FLAT, FLAT_MESSAGES // PARTS // ROUNDS, [side])
        used.append(round(resident(service), 1))
    growth = used[-1] / used[0] - 1
    return Row(
        name=FLAT.name,
        ours=f"{used[-1]:.0f} MiB",
        reference=f"first part: {used[0]:.0f} MiB",
        ratio=f"{growth:+.1%}",
        bar=f"<= {FLAT_GROWTH:+.0%}",
        holds=growth <= FLAT_GROWTH,
        details=[f"{FLAT.name}: after each tenth of {FLAT_MESSAGES} messages, MiB: {used}"],
        figures={"mebibytes": used},
    )
