# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a storm is about: the service, and around it the far end, the clock and every line.

Client and smtp, delivery and next hop, all processes and both engines talk through proxies.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tests.rig.service import Service
from tests.storm.client import Client, Ledger
from tests.storm.clock import Clock
from tests.storm.farend import FarEnd
from tests.storm.ledgers import Ours
from tests.storm.onward import Onward, leading
from tests.testbed.proxy import Proxy

MEGABYTES = 320  # of a file system that can be filled
ENGINES = ("DATABASE_URL", "WEB_DATABASE_URL", "RELAY_DATABASE_URL", "DUTY_DATABASE_URL")
# Legal time changes or a day more than other years has around these; a few seconds before it does.
EPOCHS = (
    "",
    "2027-03-28T00:59:50+00:00",
    "2026-10-25T00:59:50+00:00",
    "2028-02-28T23:59:50+00:00",
)


@dataclass(slots=True, eq=False)
class Stage:
    """Everything that a strike can hurt; `deaths` is the file of processes that poison ended."""

    service: Service
    far_end: FarEnd
    clock: Clock
    chance: random.Random
    onward: Onward
    ledger: Ledger = field(default_factory=Ledger)
    client_line: Proxy = field(init=False)
    database_line: Proxy = field(init=False)
    redis_line: Proxy = field(init=False)
    client: Client = field(init=False)
    # What the log said before its days went (40 days later they may).
    before: Ours | None = None

    @property
    def deaths(self) -> Path:
        return self.service.home / "deaths"

    @property
    def hops(self) -> list[Proxy]:
        return self.onward.hops

    async def ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Query the database, again and again while it is what was struck."""
        while True:
            try:
                return await asyncio.to_thread(self._query, statement, values)
            except psycopg.OperationalError:
                await asyncio.sleep(0.2)

    def _query(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            self.service.database_url(), autocommit=True, connect_timeout=5
        ) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def staged(
    seed: str,
    extra: Mapping[str, str],
    slowest: float,
    epoch: str = "",
    *,
    fillable: bool = False,
    hosts: Mapping[str, Sequence[str]] | None = None,
    route: str = "own",
) -> AsyncIterator[Stage]:
    """Build it all up and take it down again; the directory stays.

    `hosts` are more of them by their names, and the processes of each; all mail leaves by routes
    of the kind `route`.
    """
    service = Service.below_var("storm", 0, dict(extra))
    clock, chance = Clock(service.home / "clock"), random.Random(seed)
    if epoch:
        clock.move(datetime.fromisoformat(epoch).timestamp() - clock.now())
    far_end = FarEnd(service.home / "far-end", chance, slowest, clock.now)
    async with AsyncExitStack() as lines:
        lines.callback(far_end.close)
        onward = await leading(route, far_end, service.home, lines)
        service.tenants = onward.tenants
        stage = Stage(service, far_end, clock, chance, onward)
        service.extra |= onward.settings | clock.variable() | {"TZ": "Europe/Copenhagen"}
        service.extra["STORM_DEATHS"] = str(stage.deaths)
        try:
            if fillable:
                _mount(service.home / "engines")
            await asyncio.to_thread(service.prepare)
            await _connect(stage, lines)
            await asyncio.to_thread(service.start_all)
            for name, processes in (hosts or {}).items():
                await _add_host(stage, name, processes)
            yield stage
        finally:
            await asyncio.to_thread(service.stop)
            if fillable:
                subprocess.run(["umount", str(service.home / "engines")], check=False)


async def _connect(stage: Stage, lines: AsyncExitStack) -> None:
    """Put a proxy into every line that the processes have."""
    service, engines = stage.service, stage.service.engines
    assert engines.postgresql is not None
    assert engines.valkey is not None
    database, redis = engines.postgresql.port, engines.valkey.port
    stage.database_line = await lines.enter_async_context(Proxy(database))
    stage.redis_line = await lines.enter_async_context(Proxy(redis))
    for name in (*ENGINES, "REDIS_URL"):
        url = service.environment[name].replace(f":{database}/", f":{stage.database_line.port}/")
        service.extra[name] = url.replace(f":{redis}/", f":{stage.redis_line.port}/")
    smtp = Proxy(int(service.environment["SMTP_PORT"]))
    stage.client_line = await lines.enter_async_context(smtp)
    sign_ins = [replace(one, port=smtp.port) for one in service.sign_ins]
    # One sandbox among as many live ones as make it a tenth of the mail.
    live = [one for one in sign_ins if not one.is_sandbox]
    many = [live[number % len(live)] for number in range(9)]
    played = [one for one in sign_ins if one.is_sandbox]
    stage.client = Client(many + played, stage.ledger, stage.chance)


async def _add_host(stage: Stage, name: str, processes: Sequence[str]) -> None:
    host = stage.service.add_host(name) if name else None
    whole = [f"{process}.{name}" if host else process for process in processes]
    await asyncio.to_thread(stage.service.start_all, whole)
    if host:
        own = [replace(one, port=host.smtp_port) for one in stage.client.sign_ins]
        stage.client.sign_ins = [*stage.client.sign_ins, *own]


def _mount(place: Path) -> None:
    """A file system of its own for the engines, small enough to be filled (root alone)."""
    place.mkdir(mode=0o711)
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=0711", "tmpfs", str(place)]
    subprocess.run(command, check=True)
