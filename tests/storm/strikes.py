# SPDX-License-Identifier: AGPL-3.0-or-later
"""How things are hurt, and how they come back: a supervisor would start them again just so."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from redis import Redis

from config.stack.children import wait_until
from config.stack.valkey import Valkey
from tests.storm.client import NEVER
from tests.storm.ledgers import read_ours
from tests.storm.stage import MEGABYTES, Stage
from tests.testbed.dns import Failure
from tests.testbed.proxy import PLAIN, Course, Then, Way

STOP_SECONDS = 25.0
HOUR = 3600.0
FORTY_DAYS = 40 * 24 * HOUR
SILENT = 11 * 60.0  # longer than beat may be (relay/heartbeat.py)
HEARTBEAT = "relay:beat"  # the same module's key
REFUSED_SECONDS = 5.0
TROUBLE = 0.3
# Longer than a name is remembered, and a route as it was read.
FLIP_SECONDS = 3.0
NEVER_MAILS = 10
MAKE_DAY = "SELECT relay_create_day((to_timestamp(%s) AT TIME ZONE 'UTC')::date)"
LIVE = "SELECT count(*) FROM relay_queueddelivery WHERE lease_expires_at IS NOT NULL"
# What a migration does while the old processes still run, and what takes it back.
MIGRATION = (
    "ALTER TABLE relay_queueddelivery ADD COLUMN storm integer",
    "ALTER TABLE relay_message ADD COLUMN storm integer",
    "ALTER TABLE relay_queueddelivery DROP COLUMN storm",
    "ALTER TABLE relay_message DROP COLUMN storm",
)
# No hour key opens it any more.
CORRUPT = """
UPDATE relay_content c SET wrapped_key = substr(wrapped_key, 1, 20) || '\\x00'::bytea
FROM relay_queueddelivery q WHERE q.message_id = c.message_id AND q.recipient LIKE %s
"""


async def nothing(stage: Stage) -> None:
    """It comes back by itself."""


async def revive_processes(stage: Stage) -> None:
    await asyncio.to_thread(stage.service.revive)


async def revive_engines(stage: Stage) -> None:
    await asyncio.to_thread(stage.service.engines.revive)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def children(pid: int) -> list[int]:
    """The ids of a process's children (Linux)."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(word) for word in words]


async def strike_parent(stage: Stage) -> None:
    """The parent alone, whose children are left behind, or everything as when a container ends."""
    process = stage.service.processes["delivery"]
    for pid in stage.chance.choice([[], children(process.pid)]):
        kill(pid)
    process.kill()
    process.wait()


async def strike_smtp(stage: Stage) -> None:
    """The parent, or one of the processes that serve when there are several."""
    process = stage.service.processes["smtp"]
    kill(stage.chance.choice([process.pid, *children(process.pid)]))
    await asyncio.to_thread(wait_until, lambda: process.poll() is not None, 0.5)


async def strike_child(stage: Stage) -> None:
    """Every child: one of them has the shift."""
    for pid in children(stage.service.processes["delivery"].pid):
        kill(pid)


async def strike_beat(stage: Stage) -> None:
    stage.service.processes["beat"].kill()
    stage.service.processes["beat"].wait()


async def silence_beat(stage: Stage) -> None:
    """Beat is dead for an hour, at first for as long as nobody has to notice.

    It was heard before: an engine that was emptied begins to count when that is found.
    """
    with Redis.from_url(stage.service.environment["REDIS_URL"]) as redis:
        while not await asyncio.to_thread(redis.exists, HEARTBEAT):
            await asyncio.sleep(0.5)
    process = stage.service.processes.pop("beat")
    process.kill()
    process.wait()
    await _advance(stage, SILENT)


async def end_the_hour(stage: Stage) -> None:
    await _advance(stage, HOUR - SILENT)
    await asyncio.to_thread(stage.service.start_process, "beat")


async def _advance(stage: Stage, seconds: float) -> None:
    """Move the clock while no lease would run out by that."""
    for _ in range(200):
        if await stage.ask(LIVE) == [(0,)]:
            break
        await asyncio.sleep(0.05)
    stage.clock.move(seconds)


async def second_beat(stage: Stage) -> None:
    await asyncio.to_thread(stage.service.start_process, "beat2")


async def end_second_beat(stage: Stage) -> None:
    process = stage.service.processes.pop("beat2")
    process.terminate()
    await asyncio.to_thread(process.wait)


async def strike_postgresql(stage: Stage) -> None:
    """SIGQUIT is the immediate stop; SIGKILL takes the postmaster alone."""
    server = stage.service.engines.postgresql
    assert server is not None
    assert server.process is not None
    kill(server.process.pid, stage.chance.choice([signal.SIGQUIT, signal.SIGKILL]))
    await asyncio.to_thread(server.process.wait)


async def cut_database(stage: Stage) -> None:
    """All connections are reset, and new ones get no answer."""
    stage.database_line.hold()
    stage.database_line.break_off()


async def join_database(stage: Stage) -> None:
    stage.database_line.let_go()


async def cut_redis(stage: Stage) -> None:
    stage.redis_line.hold()
    stage.redis_line.break_off()


async def join_redis(stage: Stage) -> None:
    stage.redis_line.let_go()


def _valkey(stage: Stage) -> Valkey:
    server = stage.service.engines.valkey
    assert server is not None
    assert server.process is not None
    return server


async def strike_valkey(stage: Stage) -> None:
    process = _valkey(stage).process
    assert process is not None
    process.kill()
    process.wait()


def _say(stage: Stage, command: str) -> None:
    server = _valkey(stage)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"AUTH {server.password}\r\n{command}\r\n".encode())
        answers = connection.makefile("rb")
        assert [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+OK\r\n"]


async def flush(stage: Stage) -> None:
    _say(stage, "FLUSHALL")


async def fill_valkey(stage: Stage) -> None:
    """Out of memory: it reads, and refuses to write (maxmemory-policy noeviction)."""
    _say(stage, "CONFIG SET maxmemory 1")


async def empty_valkey(stage: Stage) -> None:
    _say(stage, "CONFIG SET maxmemory 0")


async def pause(stage: Stage) -> None:
    process = _valkey(stage).process
    assert process is not None
    kill(process.pid, signal.SIGSTOP)


async def resume(stage: Stage) -> None:
    process = _valkey(stage).process
    assert process is not None
    kill(process.pid, signal.SIGCONT)


async def fill_disk(stage: Stage) -> None:
    await asyncio.to_thread(_fill, stage.service.home / "engines" / "filler")


def _fill(filler: Path) -> None:
    block = bytes(64 * 1024)
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for _ in range(MEGABYTES * 16):
            file.write(block)


async def empty_disk(stage: Stage) -> None:
    (stage.service.home / "engines" / "filler").unlink()
    await revive_engines(stage)


def _hop_course(chance: random.Random, lost: Course) -> Course:
    """One connection in three comes to grief: in the content, after its end, or slowly."""
    return chance.choice(
        [
            *[PLAIN] * 6,
            Course(after=chance.randrange(1, 20_000), then=Then.RESET),
            lost,
            Course(octets_per_second=20_000),
        ]
    )


async def trouble_hops(stage: Stage) -> None:
    """The next hops say 4xx and 421, drop after the dot, reset in DATA and are slow."""
    stage.far_end.trouble = TROUBLE
    for hop in stage.hops:
        hop.course = lambda _number: _hop_course(stage.chance, stage.onward.lost)


async def calm_hops(stage: Stage) -> None:
    stage.far_end.trouble = 0.0
    for hop in stage.hops:
        hop.course = PLAIN


async def fail_names(stage: Stage, failure: Failure) -> None:
    """No next hop can be found by its name, and nobody is connected to one any more."""
    stage.onward.names.fail(failure)
    for hop in stage.hops:
        hop.break_off()


async def heal_names(stage: Stage) -> None:
    stage.onward.names.fail(None)


async def flip_names(stage: Stage) -> None:
    """The names lead elsewhere, and some seconds later nobody answers where they led before."""
    stage.onward.flip()
    await asyncio.sleep(FLIP_SECONDS)
    stage.onward.leave_old()


async def flip_back(stage: Stage) -> None:
    stage.onward.flip(is_back=True)
    stage.onward.leave_old(is_back=True)


async def write_to_nobody(stage: Stage) -> None:
    """Mail to a domain that does not exist, and to one that takes none (RFC 7505)."""
    live = [one for one in stage.client.sign_ins if not one.is_sandbox]
    for number in range(NEVER_MAILS):
        for domain in NEVER:
            name = f"aldrig-{stage.chance.randrange(10**6)}-{number}"
            await stage.client.letter(name, "", stage.chance.choice(live), domain)


def _client_course(chance: random.Random) -> Course:
    return chance.choice(
        [
            *[PLAIN] * 3,
            Course(after=chance.randrange(1, 6_000), then=chance.choice([Then.CLOSE, Then.RESET])),
            Course(after=chance.randrange(1, 500), way=Way.DOWN),
            Course(after_dot=True),
        ]
    )


async def trouble_clients(stage: Stage) -> None:
    stage.client_line.break_off()
    stage.client_line.course = lambda _number: _client_course(stage.chance)


async def calm_clients(stage: Stage) -> None:
    stage.client_line.course = PLAIN


async def ask_to_stop(stage: Stage) -> None:
    """As for an upgrade: the migration runs while the old processes still end."""
    for name in ("smtp", "delivery"):
        kill(stage.service.processes[name].pid, signal.SIGTERM)
    for statement in MIGRATION[:2]:
        await stage.ask(statement)


async def start_new(stage: Stage) -> None:
    for name in ("smtp", "delivery"):
        await asyncio.to_thread(stage.service.processes[name].wait, STOP_SECONDS)
    for statement in MIGRATION[2:]:
        await stage.ask(statement)
    await revive_processes(stage)


async def hour_ahead(stage: Stage) -> None:
    stage.clock.move(HOUR)


async def hour_back(stage: Stage) -> None:
    stage.clock.move(-HOUR)


async def forty_days(stage: Stage) -> None:
    """Mail waits that the far end did not want, and then it is forty days later."""
    stage.far_end.deaf = True
    for _ in range(int(REFUSED_SECONDS * 20)):
        if stage.far_end.refusals > 5:
            break
        await asyncio.sleep(0.05)
    await _advance(stage, 0.0)
    stage.before = await asyncio.to_thread(read_ours, stage.service.database_url())
    # In forty days the upkeep has made this one long before; notices go into it.
    await stage.ask(MAKE_DAY, [stage.clock.now() + FORTY_DAYS])
    stage.clock.move(FORTY_DAYS)
    # Beat gives this order at a fixed minute of the hour: days are made ahead, others dropped.
    order = ("-m", "celery", "-A", "config.celery", "call", "gdpr.forget_hourly")
    await asyncio.to_thread(stage.service.run, *order)
    stage.far_end.deaf = False


async def poison(stage: Stage) -> None:
    """A message that raises, one that ends its process, and one whose key is broken."""
    live = [one for one in stage.client.sign_ins if not one.is_sandbox]
    name = f"gift-{stage.chance.randrange(10**6)}"
    broken = f"{name}-c.0+corrupt@modtager.example"
    stage.far_end.put_in_trouble(broken, 1)
    await stage.client.letter(f"{name}-c", "+corrupt", live[0])
    while not await stage.ask(
        "SELECT 1 FROM relay_queueddelivery WHERE attempts > 0 AND recipient LIKE %s",
        [f"{name}-c%"],
    ):
        await asyncio.sleep(0.1)
    await stage.ask(CORRUPT, [f"{name}-c%"])
    await stage.client.letter(f"{name}-r", "+raises", live[0])
    await stage.client.letter(f"{name}-k", "+kills", live[0])


async def kill_host(stage: Stage, name: str) -> None:
    """Everything of mail on one host; the first one has no name."""
    for process, child in list(stage.service.processes.items()):
        if process.startswith(("smtp", "delivery")) and process.partition(".")[2] == name:
            # Its session: the children of Celery's parent as well.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def can_mount() -> bool:
    """Whether a file system can be mounted here: root, and allowed to."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    return subprocess.run(trial, capture_output=True).returncode == 0
