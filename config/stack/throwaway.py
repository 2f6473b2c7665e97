# SPDX-License-Identifier: AGPL-3.0-or-later
"""Engines for one command, usually a test run: copied from a kept template, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.stack.binaries import postgresql_programs, postgresql_version
from config.stack.children import die_with_parent
from config.stack.engines import Engines
from config.stack.environment import private_places
from config.stack.failure import StackError
from config.stack.locks import locked
from config.stack.places import Account, engine_account, engine_home
from config.stack.postgresql import PostgreSQL
from config.stack.state import State
from config.stack.valkey import Valkey

# Memory-backed: durable settings stay on, as in production, and still cost next to nothing.
MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private directory in it
MEMORY_NEEDED = 4_000_000_000  # octets free


def run_with_engines(command: Sequence[str]) -> int:
    """Run a command with engines of its own; returns its exit status."""
    account = engine_account()
    tests = engine_home("test", account)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    forget_dead_runs(tests, account)
    with _run_directory(tests) as run:
        state = _lay_template(tests, run, account)
        engines = Engines.below(run / "engines", account, state, os.environ)
        try:
            engines.start()
            places = private_places(run / "private", state, os.environ)
            return _run(command, {**os.environ, **places, **engines.environment()})
        finally:
            engines.stop()


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    with _started(command, environment) as child:
        # Ctrl-C reaches the command by itself (same terminal); it decides when to end.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    return status if status >= 0 else 128 - status


def _started(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, env=environment, preexec_fn=die_with_parent(signal.SIGTERM)
        )
    except OSError as fault:
        raise StackError(f"{command[0]} cannot be started: {fault.strerror}.") from None


@contextlib.contextmanager
def _run_directory(tests: Path) -> Iterator[Path]:
    """A directory of this run, locked as long as this process lives and removed afterwards."""
    with contextlib.ExitStack() as held:
        # Nobody looks for dead runs between the making of this one and its lock.
        with locked(tests / "runs.lock"):
            run = Path(tempfile.mkdtemp(prefix="run-", dir=tests))
            held.enter_context(locked(run / "lock"))
        run.chmod(0o711)
        _make_engine_directory(run / "engines")
        try:
            yield run
        finally:
            _remove(run)


def _make_engine_directory(path: Path) -> None:
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED
    if roomy:
        path.symlink_to(tempfile.mkdtemp(prefix="brevdue-", dir=MEMORY))
    else:
        path.mkdir()


def _remove(run: Path) -> None:
    engines = run / "engines"
    if engines.is_symlink():
        shutil.rmtree(os.readlink(engines), ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)


def forget_dead_runs(tests: Path, account: Account) -> None:
    """Stop and remove what a killed run left: nobody holds the lock of its directory."""
    with locked(tests / "runs.lock"):
        for run in tests.glob("run-*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                _forget_if_dead(run, account)


def _forget_if_dead(run: Path, account: Account) -> None:
    with locked(run / "lock", wait=False):
        home, state = run / "engines", State(run / "state.json")
        PostgreSQL(home, account, 0, "").stop_leftover()
        Valkey(home, account, state.kept_port("valkey_port"), "").stop_leftover()
        _remove(run)


def _lay_template(tests: Path, run: Path, account: Account) -> State:
    """Copy an initialised data directory into the run; made when there is none yet."""
    template = tests / f"template-{postgresql_version(postgresql_programs() / 'postgres')}"
    with locked(tests / "template.lock"):
        template.mkdir(mode=0o711, exist_ok=True)
        server = PostgreSQL(
            template, account, 0, State(template / "state.json").secret("postgresql")
        )
        server.initialise()
    shutil.copy(template / "state.json", run / "state.json")
    data = run / "engines" / "postgresql"
    shutil.copytree(server.data, data, symlinks=True)
    account.give(data)
    return State(run / "state.json")
