# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is killed, and how it comes back: a supervisor would start it again just so."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from config.stack.children import wait_until
from config.stack.valkey import Valkey
from tests.rig.service import Service

RECONNECT_BAR = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """`strike` hurts it, `restore` brings it back, `shortest` to `longest` seconds later.

    `delivers`: it holds leases, and whoever takes them over afterwards is watched. `cuts`: how many
    seconds after the strike deliveries can still be cut off by it, None when it cuts none.
    """

    name: str
    strike: Callable[[Service, random.Random], None]
    restore: Callable[[Service], None]
    longest: float = 2.0
    shortest: float = 0.0
    delivers: bool = False
    cuts: float | None = None
    most: int = 1000  # strikes: a minute's pause is not repeated as often as a kill


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


def _strike_parent(service: Service, chance: random.Random) -> None:
    """The parent alone, whose children are left behind, or everything as when a container ends."""
    process = service.processes["delivery"]
    for pid in chance.choice([[], children(process.pid)]):
        kill(pid)
    process.kill()
    process.wait()


def _restore_process(service: Service) -> None:
    service.revive()


def _strike_smtp(service: Service, chance: random.Random) -> None:
    """The parent, or one of the processes that serve when there are several."""
    process = service.processes["smtp"]
    kill(chance.choice([process.pid, *children(process.pid)]))
    wait_until(lambda: process.poll() is not None, 0.5)


def _strike_child(service: Service, _chance: random.Random) -> None:
    """Every child: one of them has the shift."""
    for pid in children(service.processes["delivery"].pid):
        kill(pid)


def _strike_postgresql(service: Service, chance: random.Random) -> None:
    """SIGQUIT is the immediate stop; SIGKILL takes the postmaster alone."""
    server = service.engines.postgresql
    assert server is not None
    assert server.process is not None
    kill(server.process.pid, chance.choice([signal.SIGQUIT, signal.SIGKILL]))
    server.process.wait()


def _restore_engines(service: Service) -> None:
    service.engines.revive()


def _valkey(service: Service) -> Valkey:
    server = service.engines.valkey
    assert server is not None
    assert server.process is not None
    return server


def _strike_valkey(service: Service, _chance: random.Random) -> None:
    process = _valkey(service).process
    assert process is not None
    process.kill()
    process.wait()


def _flush(service: Service, _chance: random.Random) -> None:
    server = _valkey(service)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"AUTH {server.password}\r\nFLUSHALL\r\n".encode())
        answers = connection.makefile("rb")
        assert [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+OK\r\n"]


def _pause(service: Service, _chance: random.Random) -> None:
    process = _valkey(service).process
    assert process is not None
    kill(process.pid, signal.SIGSTOP)


def _resume(service: Service) -> None:
    process = _valkey(service).process
    assert process is not None
    kill(process.pid, signal.SIGCONT)


def targets(pause: float) -> list[Target]:
    """Everything that is struck; `pause` is the longest stop of Valkey in seconds."""
    return [
        Target("smtp", _strike_smtp, _restore_process),
        Target(
            "delivery-parent",
            _strike_parent,
            _restore_process,
            delivers=True,
            # Children that are left behind notice it, and give what they have in hand five seconds.
            cuts=6.5,
        ),
        Target("delivery-child", _strike_child, lambda service: None, delivers=True, cuts=0.2),
        Target("valkey", _strike_valkey, _restore_engines),
        # What was sent meanwhile is noted when it is back, unless its lease ran out before.
        Target("postgresql", _strike_postgresql, _restore_engines, cuts=2.0 + RECONNECT_BAR),
        Target("valkey-flush", _flush, lambda service: None),
        Target("valkey-pause", _pause, _resume, longest=pause, shortest=min(pause, 10.0), most=4),
    ]
