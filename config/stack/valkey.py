# SPDX-License-Identifier: AGPL-3.0-or-later
"""The embedded Valkey (a Redis): start it over its own directory, stop it."""

from __future__ import annotations

import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from config.stack.binaries import reachable, valkey_program
from config.stack.children import (
    command_line,
    end,
    end_stranger,
    open_log,
    spawn,
    tail,
    wait_until,
)
from config.stack.failure import StackError
from config.stack.places import Account
from config.stack.state import write_private

START_SECONDS = 30.0
STOP_SECONDS = 5.0
DATABASES = 32  # one for each worker of a test run, and some


@dataclass(slots=True)
class Valkey:
    """One server over one directory below `home`."""

    home: Path
    account: Account
    port: int
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.home / "valkey"

    @property
    def log(self) -> Path:
        return self.home / "valkey.log"

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        configuration = self.data / "valkey.conf"
        write_private(configuration, self._configuration())
        self.account.give(self.data)
        program = reachable(valkey_program(), self.account)
        with open_log(self.log) as log:
            self.process = spawn(
                [program, configuration],
                ending=signal.SIGTERM,
                log=log,
                account=self.account,
                cwd=Path("/"),
            )
        self._wait()

    def _configuration(self) -> str:
        return (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'dir {self.data}\npidfile {self.data}/valkey.pid\ndaemonize no\nlogfile ""\n'
            f'databases {DATABASES}\nappendonly yes\nappendfsync everysec\nsave ""\n'
            # A broker must refuse rather than forget when memory runs out.
            "maxmemory-policy noeviction\n"
        )

    def _wait(self) -> None:
        ready = wait_until(lambda: self.ended() or self._answers(), START_SECONDS)
        if not ready or self.ended():
            self.stop()
            raise StackError(f"Valkey did not start. Its last words:\n{tail(self.log)}")

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as server:
                server.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answers = server.makefile("rb")
                return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        except OSError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGTERM, signal.SIGKILL, patience=STOP_SECONDS)
            self.process = None

    def stop_leftover(self) -> None:
        """Stop a server of ours that outlived its launcher."""
        try:
            pid = int((self.data / "valkey.pid").read_text())
        except (FileNotFoundError, ValueError):
            return
        # Valkey shows its own title: program, address and port; the port is kept with this data.
        if f"127.0.0.1:{self.port}" in command_line(pid):
            end_stranger(pid, signal.SIGTERM, signal.SIGKILL, patience=STOP_SECONDS)
