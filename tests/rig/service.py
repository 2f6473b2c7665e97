# SPDX-License-Identifier: AGPL-3.0-or-later
"""Start the service below a directory: engines, database, one sender, processes; and stop it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from config.stack.children import command_line, open_log, spawn, wait_until
from config.stack.engines import DATABASE, Engines
from config.stack.environment import development_settings, private_places
from config.stack.places import ROOT, engine_account, engine_home
from config.stack.processes import MARK, commands, process_environment
from config.stack.state import State, free_port

DOMAIN = "bench.example"
PROCESSES = ("smtp", "delivery", "worker", "beat")
START_SECONDS = 60.0
# Settings that a run of the tests or a checkout may have set and that would mix two stacks up.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "TEST_CLOCK_FILE", "DJANGO_SETTINGS_MODULE")


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a client needs to submit mail."""

    port: int
    username: str
    password: str


@dataclass(slots=True)
class Service:
    """Everything lies below `home`; mail goes on to `route_port` on loopback.

    `extra` is put into the environment of the processes.
    """

    home: Path
    route_port: int
    extra: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sign_in: SignIn = field(init=False)
    engines: Engines = field(init=False)

    @classmethod
    def below_var(cls, name: str, route_port: int, extra: dict[str, str] | None = None) -> Service:
        """Below var/<name>, or where the engines' own user can reach when that is closed to it."""
        place = engine_home(name, engine_account())
        for old in place.glob("run-*"):
            if not command_line(int(old.name.split("-")[1])):
                shutil.rmtree(old)
        # One process may run several: what a broken one left stays beside the next.
        home = Path(mkdtemp(prefix=f"run-{os.getpid()}-", dir=place))
        home.chmod(0o711)
        return cls(home, route_port, extra or {})

    def prepare(self) -> None:
        """Start the engines, migrate, and make the one organisation that sends."""
        state = State(self.home / "state.json")
        (self.home / "engines").mkdir(mode=0o711)
        self.engines = Engines.below(self.home / "engines", engine_account(), state, {})
        self.engines.start()
        self.environment = self._environment(state)
        self._run("manage.py", "migrate", "--verbosity=0")
        found = self._run("-m", "tests.rig.populate", str(self.route_port), DOMAIN)
        port = int(self.environment["SMTP_PORT"])
        self.sign_in = SignIn(port=port, **json.loads(found))

    def _environment(self, state: State) -> dict[str, str]:
        names = ("WEB_PORT", "SMTP_PORT", "SMTPS_PORT", "MAILBOX_PORT")
        ports = {name: free_port() for name in names}
        inherited = {n: v for n, v in os.environ.items() if n not in FOREIGN}
        inherited |= development_settings(ports) | self.engines.environment()
        inherited |= private_places(self.home / "private", state, {})
        inherited |= {
            "RELAY_ALLOW_PLAINTEXT_AUTH": "true",
            "RELAY_EGRESS_LOOPBACK_PORTS": str(self.route_port),
        }
        # The mark belongs to a checkout's own stack, whose launcher ends whatever bears it.
        return {n: v for n, v in process_environment(inherited).items() if n != MARK}

    def _run(self, *arguments: str) -> str:
        environment = {**self.environment, "DATABASE_ROLE": "owner"}
        command = [sys.executable, *arguments]
        answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if answer.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def start_all(self, names: Sequence[str] = PROCESSES) -> None:
        """Start the processes and wait until the submission server greets."""
        for name in names:
            self.start_process(name)
        if not wait_until(self.greets, START_SECONDS):
            # The directory may be gone when somebody reads this.
            status, told = self.processes["smtp"].poll(), self.log("smtp").read_text()[-2000:]
            raise RuntimeError(f"no greeting on port {self.sign_in.port} ({status=}):\n{told}")

    def start_process(self, name: str) -> None:
        """Start one process with the very command of the Procfile."""
        command = commands()[name].replace("var/beat", str(self.home / "beat"))
        self.log(name).parent.mkdir(exist_ok=True)
        with open_log(self.log(name)) as log:
            self.processes[name] = spawn(
                ["/bin/sh", "-c", f"exec env {command}"],
                ending=signal.SIGTERM,
                log=log,
                environment={**self.environment, **self.extra},
                cwd=ROOT,
            )
        self.sessions.append(self.processes[name])

    def roots(self) -> dict[str, int]:
        """The id of everything started here by its name, engines included."""
        named = {"postgresql": self.engines.postgresql, "valkey": self.engines.valkey}
        found = {n: e.process.pid for n, e in named.items() if e and e.process}
        return found | {name: process.pid for name, process in self.processes.items()}

    def database_url(self) -> str:
        """The database as its superuser: for looking, never for what is measured."""
        assert self.engines.postgresql is not None
        return self.engines.postgresql.url(database=DATABASE)

    def revive(self) -> list[str]:
        """Start again what ended by itself, as a supervisor would; returns names and statuses."""
        ended = {name: process.poll() for name, process in self.processes.items()}
        ended = {name: status for name, status in ended.items() if status is not None}
        for name in ended:
            self.start_process(name)
        return [f"{name} ({status})" for name, status in ended.items()]

    def log(self, name: str) -> Path:
        return self.home / "log" / f"{name}.log"

    def greets(self) -> bool:
        """Whether the submission server answers a connection."""
        try:
            with socket.create_connection(("127.0.0.1", self.sign_in.port), timeout=1) as server:
                return server.recv(3) == b"220"
        except OSError:
            return False

    def stop(self) -> None:
        """Kill the session of each process by its id, then stop the engines; all is judged."""
        for process in self.sessions:
            # Children of a killed celery parent live on in its session; an id that was reaped
            # and is in use again belongs to a stranger.
            if process.poll() is not None and command_line(process.pid):
                continue
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.engines.stop()

    def forget(self) -> None:
        """Remove the directory; one that is left behind goes with the next start."""
        shutil.rmtree(self.home)
