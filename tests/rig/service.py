# SPDX-License-Identifier: AGPL-3.0-or-later
"""Start the service below a directory: engines, database, senders, processes; and stop it."""

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from config.stack.children import command_line, open_log, spawn, wait_until
from config.stack.engines import DATABASE, Engines
from config.stack.environment import development_settings, private_places
from config.stack.places import ROOT, engine_account, engine_home
from config.stack.processes import MARK, commands, process_environment
from config.stack.state import State, free_port
from tests.rig.hosts import Host, another_host

DOMAIN = "bench.example"
PROCESSES = ("smtp", "delivery", "worker", "beat")
START_SECONDS = 240.0
# Starts of one that ends before it greets: a port may be taken between its choice and its use.
STARTS = 3
# Settings that a run of the tests or a checkout may have set and that would mix two stacks up.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "TEST_CLOCK_FILE", "DJANGO_SETTINGS_MODULE")


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a client needs to submit mail."""

    port: int
    username: str
    password: str
    domain: str = DOMAIN
    route: int = 0  # the number of its organisation's route
    is_sandbox: bool = False


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation to be made; its mail goes on to `route_port` on loopback, signed or not.

    `kind` is of Route.Kind; `host` leads to loopback; `secret` is that of a provider's interface.
    """

    domain: str
    route_port: int
    route: int = 0
    has_sandbox: bool = False
    signs: bool = False
    kind: str = "own"
    host: str = "127.0.0.1"
    secret: str = ""


@dataclass(slots=True)
class Service:
    """Everything lies below `home`; mail goes on to `route_port` on loopback.

    `extra` is put into the environment of the processes. Without `tenants` there is one, of DOMAIN.
    """

    home: Path
    route_port: int
    extra: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tenants: Sequence[Tenant] = ()
    sign_ins: list[SignIn] = field(default_factory=list)
    hosts: dict[str, Host] = field(default_factory=dict)
    engines: Engines = field(init=False)

    @classmethod
    def below_var(cls, name: str, route_port: int, extra: dict[str, str] | None = None) -> Service:
        """Below var/<name>, or where the engines' own user can reach when that is closed to it."""
        place = engine_home(name, engine_account())
        for old in place.glob("run-*"):
            if not command_line(int(old.name.split("-")[1])):
                # Another worker of the same run of tests may be at it as well.
                shutil.rmtree(old, ignore_errors=True)
        # One process may run several: what a broken one left stays beside the next.
        home = Path(mkdtemp(prefix=f"run-{os.getpid()}-", dir=place))
        home.chmod(0o711)
        return cls(home, route_port, extra or {})

    @property
    def sign_in(self) -> SignIn:
        """The first credential."""
        return self.sign_ins[0]

    def prepare(self) -> None:
        """Start the engines, migrate, and make the organisations that send."""
        state = State(self.home / "state.json")
        (self.home / "engines").mkdir(mode=0o711, exist_ok=True)
        self.engines = Engines.below(self.home / "engines", engine_account(), state, {})
        self.engines.start()
        tenants = self.tenants or [Tenant(DOMAIN, self.route_port)]
        self.environment = self._environment(state, tenants)
        self.run("manage.py", "migrate", "--verbosity=0")
        self.sign_ins = self.populate(tenants)

    def populate(self, tenants: Sequence[Tenant]) -> list[SignIn]:
        """Make organisations that send."""
        found = self.run("-m", "tests.rig.populate", json.dumps([asdict(one) for one in tenants]))
        port = int(self.environment["SMTP_PORT"])
        return [SignIn(port=port, **one) for one in json.loads(found)]

    def add_host(self, name: str) -> Host:
        """Make a host of its own beside the first; its processes are called `<process>.<name>`."""
        self.hosts[name] = another_host(name, self.home, {**self.environment, **self.extra})
        return self.hosts[name]

    def _environment(self, state: State, tenants: Sequence[Tenant]) -> dict[str, str]:
        names = ("WEB_PORT", "SMTP_PORT", "SMTPS_PORT", "BOUNCE_PORT", "MAILBOX_PORT")
        ports = {name: free_port() for name in names}
        inherited = {n: v for n, v in os.environ.items() if n not in FOREIGN}
        inherited |= development_settings(ports) | self.engines.environment()
        inherited |= private_places(self.home / "private", state, {})
        inherited |= {
            "RELAY_ALLOW_PLAINTEXT_AUTH": "true",
            "RELAY_EGRESS_LOOPBACK_PORTS": ",".join(str(one.route_port) for one in tenants),
        }
        # The mark belongs to a checkout's own stack, whose launcher ends whatever bears it.
        return {n: v for n, v in process_environment(inherited).items() if n != MARK}

    def run(self, *arguments: str) -> str:
        """Run Python as the owner of the tables; returns its output. Raises RuntimeError."""
        environment = {**self.environment, **self.extra, "DATABASE_ROLE": "owner"}
        command = [sys.executable, *arguments]
        answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if answer.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{answer.stdout}{answer.stderr}")
        return answer.stdout

    def start_all(self, names: Sequence[str] = PROCESSES) -> None:
        """Start the processes and wait until each submission server greets."""
        for name in names:
            self.start_process(name)
        for name in names:
            if name.startswith("smtp"):
                self._await_greeting(name)

    def _await_greeting(self, name: str) -> None:
        for start in range(STARTS):
            if start:
                self.start_process(name)
            wait_until(lambda: self.greets(name) or self._ended(name), START_SECONDS)
            if not self._ended(name):
                break
        if not self.greets(name):
            # The directory may be gone when somebody reads this.
            status, told = self.processes[name].poll(), self.log(name).read_text()[-2000:]
            raise RuntimeError(f"no greeting from {name} ({status=}):\n{told}")

    def _ended(self, name: str) -> bool:
        return self.processes[name].poll() is not None

    def start_process(self, name: str) -> None:
        """Start one process with the very command of the Procfile.

        `name` is that of the process there, a number, and its host unless it is the first:
        "smtp", "smtp2", "delivery.b".
        """
        process, _, place = name.partition(".")
        host = self.hosts.get(place)
        command = commands()[process.rstrip("0123456789")]
        self.log(name).parent.mkdir(exist_ok=True)
        with open_log(self.log(name)) as log:
            self.processes[name] = spawn(
                ["/bin/sh", "-c", f"exec env {command.replace('var/beat', str(self.home / name))}"],
                ending=signal.SIGTERM,
                log=log,
                environment=dict(host.environment) if host else {**self.environment, **self.extra},
                cwd=host.directory if host else ROOT,
            )
        self.sessions.append(self.processes[name])

    def restart(self, name: str) -> None:
        """End one process as a supervisor does, and start it again."""
        self.processes[name].terminate()
        self.processes[name].wait()
        self.start_process(name)

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

    def greets(self, name: str = "smtp") -> bool:
        """Whether the submission server of a host answers a connection."""
        host = self.hosts.get(name.partition(".")[2])
        port = host.smtp_port if host else int(self.environment["SMTP_PORT"])
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as server:
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
