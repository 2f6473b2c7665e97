# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole stack of one checkout in the foreground: start in order, show the demo, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from honcho.environ import parse

from config.stack.catalogues import compile_catalogues
from config.stack.children import die_with_parent, end, open_log, spawn, tail
from config.stack.engines import DATABASE, Engines
from config.stack.environment import development_settings, private_places, write_environment
from config.stack.failure import StackError
from config.stack.given import require_roles
from config.stack.leftovers import end_leftovers, kill_leftovers
from config.stack.locks import locked
from config.stack.places import ROOT, VAR, engine_account, engine_home, open_directory
from config.stack.ports import chosen_ports, require_free
from config.stack.processes import process_environment
from config.stack.progress import Progress
from config.stack.provision import provision
from config.stack.readiness import wait_until_ready
from config.stack.signin import FACTS, add_facts, process_names, where_to_look
from config.stack.state import State
from config.stack.terminal import Terminal

ENGINES = "engines"  # below var/
LOG = VAR / "log" / "stack.log"
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# honcho kills what has not ended by itself after five seconds.
STOP_SECONDS = 7.0


class Leave(BaseException):
    """Ctrl-C or a signal to end: not a fault."""


@dataclass(slots=True)
class Stack:
    """Everything that is started, and the environment it runs in."""

    environment: dict[str, str]
    ports: dict[str, int]
    engines: Engines
    manager: subprocess.Popen[bytes] | None = None

    def start_engines(self) -> None:
        self.engines.start()
        settings = {**development_settings(self.ports), **self.engines.environment()}
        settings |= private_places(VAR, self.engines.state, self.environment)
        # What the person set wins over what the launcher would choose.
        write_environment(
            VAR / "stack.env", {n: self.environment.get(n) or v for n, v in settings.items()}
        )
        self.environment = {**settings, **{n: v for n, v in self.environment.items() if v}}

    def manage(self, *arguments: str, quiet: bool = False) -> bool:
        """Run a command of manage.py to its end; quiet shows its words only when it fails."""
        sink: dict[str, Any] = (
            {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} if quiet else {}
        )
        command = [sys.executable, "manage.py", *arguments]
        answer = subprocess.run(command, cwd=ROOT, env=self.environment, text=True, **sink)
        if quiet and answer.returncode != 0:
            raise StackError(f"manage.py {' '.join(arguments)} failed:\n{answer.stdout}")
        return bool(answer.returncode == 0)

    def facts(self) -> dict[str, object]:
        """What only the launcher knows of var/demo.json."""
        server = self.engines.postgresql
        return {
            "mailbox": {
                "host": "127.0.0.1",
                "port": self.ports["MAILBOX_PORT"],
                "maildir": "var/mailbox",
            },
            "database_url": self.environment["WEB_DATABASE_URL"],
            "admin_database_url": server.url(database=DATABASE) if server else None,
            "redis_url": self.environment["REDIS_URL"],
        }

    def start_processes(self) -> None:
        command = [sys.executable, "-m", "config.stack", "processes"]
        with open_log(LOG) as log:
            self.manager = spawn(
                command, ending=signal.SIGTERM, log=log, environment=self.environment, cwd=ROOT
            )

    def ended(self) -> bool:
        return self.manager is not None and self.manager.poll() is not None

    def stop(self) -> None:
        if self.manager is not None:
            end(self.manager, signal.SIGTERM, signal.SIGKILL, patience=STOP_SECONDS)
            kill_leftovers()
        self.engines.stop()


def run(*, stay: bool) -> int:
    """Start, show the demo, then stay until Ctrl-C, or stop at once; returns the exit status."""
    progress = Progress()
    # Mail, logs and secrets below var/ are closed; only the engines' user passes through it.
    os.umask(0o077)
    open_directory(VAR)
    _follow_make()
    for number in ENDINGS:
        signal.signal(number, _leave)
    try:
        with only_one():
            return _hold(progress, stay=stay)
    except Leave:
        return 0 if stay else 1


def _hold(progress: Progress, *, stay: bool) -> int:
    stack = _plan(progress)
    try:
        return _show(stack, progress, stay=stay)
    finally:
        _stop(stack, progress)


def _show(stack: Stack, progress: Progress, *, stay: bool) -> int:
    with progress.step("Starting PostgreSQL and Valkey"):
        stack.start_engines()
    with progress.step("Migrating the database"):
        stack.manage("migrate", "--verbosity=0", quiet=True)
    # Later starts have their data: the mail server need not wait until it has been looked over.
    steps = [_prepare_demo, _start_processes]
    for step in reversed(steps) if FACTS.exists() else steps:
        step(stack, progress)
    with progress.step("Waiting for their answers"):
        _wait(stack)
    print(f"\nReady after {progress.seconds:.1f} s. The main job, once:", flush=True)
    held = stack.manage("demo")
    if stay:
        print(where_to_look(), flush=True)
        return _stay(stack)
    return 0 if held else 1


def _prepare_demo(stack: Stack, progress: Progress) -> None:
    with progress.step("Preparing demo data"):
        stack.manage("demo", "--prepare", quiet=True)
        add_facts(stack.facts())


def _start_processes(stack: Stack, progress: Progress) -> None:
    with progress.step(f"Starting {', '.join(process_names())}"):
        stack.start_processes()


def _wait(stack: Stack) -> None:
    wait_until_ready(stack.ports, stack.ended)
    if stack.ended():
        raise StackError(f"A process ended by itself. The last words of {LOG}:\n{tail(LOG, 30)}")


def _stay(stack: Stack) -> int:
    terminal = Terminal()
    while not stack.ended():
        if terminal.is_gone():
            raise Leave
        for name in stack.engines.revive():
            print(f"{name} ended by itself and was started again.", flush=True)
        time.sleep(0.2)
    print(f"\nA process ended by itself. The last words of {LOG}:\n{tail(LOG, 30)}", flush=True)
    return 1


def _stop(stack: Stack, progress: Progress) -> None:
    # A second Ctrl-C out of impatience must not leave half of it running.
    for number in ENDINGS:
        signal.signal(number, lambda *_: None)
    print(flush=True)
    with progress.step("Stopping"):
        stack.stop()


def _plan(progress: Progress) -> Stack:
    """Look before anything starts: settings, ports, leftovers of a killed launcher."""
    environment = {**_dot_env(), **os.environ}
    require_roles(environment)
    ports = chosen_ports(environment)
    if leftovers := end_leftovers():
        print(f"  Ended {leftovers} processes of a launcher that was killed.", flush=True)
    require_free(ports)
    provision("run")
    with progress.step("Compiling message catalogues"):
        compile_catalogues()
    return Stack(
        environment=process_environment(environment),
        ports=ports,
        engines=embedded_engines(environment),
    )


def embedded_engines(environment: Mapping[str, str]) -> Engines:
    account = engine_account()
    state = State(VAR / "state.json")
    return Engines.below(engine_home(ENGINES, account), account, state, environment)


def _dot_env() -> dict[str, str]:
    path = ROOT / ".env"
    return dict(parse(path.read_text())) if path.exists() else {}


def _leave(_number: int, _frame: object) -> None:
    raise Leave


def _follow_make() -> None:
    """Started by make, end with make: a killed make must not leave a stack that nobody sees."""
    if "MAKELEVEL" in os.environ:
        die_with_parent(signal.SIGTERM, parent=os.getppid())()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    with contextlib.ExitStack() as holding:
        try:
            holding.enter_context(locked(VAR / "stack.lock", wait=False))
        except BlockingIOError:
            raise StackError(
                "The stack of this checkout runs already, or is just stopping."
            ) from None
        yield
