# SPDX-License-Identifier: AGPL-3.0-or-later
"""The embedded PostgreSQL: make its data directory once, start it, stop it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from config.stack.binaries import postgresql_programs, reachable
from config.stack.children import (
    command_line,
    end,
    end_stranger,
    open_log,
    run_as,
    spawn,
    tail,
    wait_until,
)
from config.stack.failure import StackError
from config.stack.places import Account
from config.stack.state import write_private

SUPERUSER = "postgres"
START_SECONDS = 60.0
STOP_SECONDS = 5.0

# Errors are logged without the statement and its values: those hold addresses of people.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # scram on loopback is the only door
    "max_connections": "120",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
}


@dataclass(slots=True)
class PostgreSQL:
    """One server over one data directory below `home`."""

    home: Path
    account: Account
    port: int
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "postgresql"

    @property
    def log(self) -> Path:
        return self.home / "postgresql.log"

    def url(self, role: str = SUPERUSER, password: str = "", database: str = "postgres") -> str:
        secret = password or self.password
        return f"postgresql://{role}:{secret}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the data directory, in one step: a half-made one is never left under its name."""
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.data.with_name("postgresql.new")
        for leftover in (fresh, self.data):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self.account.give(fresh)
        self._run_initdb(fresh)
        fresh.rename(self.data)

    def _run_initdb(self, data: Path) -> None:
        secret = self.home / "superuser"
        write_private(secret, self.password + "\n")
        self.account.give(secret)
        options = ["--encoding=UTF8", "--locale=C", "--data-checksums", "--auth=scram-sha-256"]
        options += ["-D", str(data), f"--username={SUPERUSER}", f"--pwfile={secret}"]
        answer = run_as(self.account, [self._program("initdb"), *options])
        secret.unlink()
        if answer.returncode != 0:
            raise StackError(f"initdb failed:\n{answer.stdout}{answer.stderr}")

    def start(self) -> None:
        """Start and wait until it answers."""
        self.initialise()
        settings = SETTINGS | {"port": str(self.port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open_log(self.log) as log:
            # SIGINT is the fast shutdown: it does not wait for clients to leave.
            self.process = spawn(
                [self._program("postgres"), "-D", self.data, *arguments],
                ending=signal.SIGINT,
                log=log,
                account=self.account,
                cwd=Path("/"),
            )
        self._wait()

    def _wait(self) -> None:
        ready = wait_until(lambda: self.ended() or self._answers(), START_SECONDS)
        if not ready or self.ended():
            self.stop()
            raise StackError(f"PostgreSQL did not start. Its last words:\n{tail(self.log)}")

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _answers(self) -> bool:
        # The server writes its pid and its state into its own pid file; an old file may lie there.
        words = self._pid_file()
        return self.process is not None and words[:1] + words[7:8] == [
            str(self.process.pid),
            "ready",
        ]

    def run_script(self, script: str, database: str = "postgres") -> None:
        """Run a psql script as superuser; raises with psql's own words when a line fails."""
        connection = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": SUPERUSER}
        connection |= {"PGPASSWORD": self.password, "PGDATABASE": database}
        answer = subprocess.run(
            [self._own_program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1"],
            input=script,
            capture_output=True,
            text=True,
            env={**os.environ, **connection, "PGOPTIONS": "-c client_min_messages=warning"},
        )
        if answer.returncode != 0:
            raise StackError(f"The database refused a set-up script:\n{answer.stderr}")

    def stop(self) -> None:
        if self.process is not None:
            # SIGQUIT, the immediate shutdown, is safe: the next start replays the log.
            end(self.process, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, patience=STOP_SECONDS)
            self.process = None

    def stop_leftover(self) -> None:
        """Stop a server of ours that outlived its launcher; the pid file is the server's own."""
        words = self._pid_file()
        if not words or not words[0].isdigit():
            return
        if str(self.data) in command_line(int(words[0])):
            end_stranger(int(words[0]), signal.SIGINT, signal.SIGQUIT, patience=STOP_SECONDS)

    def _pid_file(self) -> list[str]:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return []
        return [line.strip() for line in lines]

    def _program(self, name: str) -> Path:
        return reachable(self._own_program(name), self.account)

    def _own_program(self, name: str) -> Path:
        return postgresql_programs() / name
