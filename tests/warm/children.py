# SPDX-License-Identifier: AGPL-3.0-or-later
"""What stands in for `subprocess` in gdpr.bounded while tests run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

# The programs, and what each loads before it reads its order.
REMEMBERED = 200
LOADS = {"gdpr.typesetting": "gdpr.typesetting.setting", "gdpr.verifying": "gdpr.verifying.reading"}


class Warm:
    """A process that has loaded what a program needs; one order at a time."""

    def __init__(
        self, command: Sequence[str], program: str, cwd: Path, env: dict[str, str]
    ) -> None:
        self._lock = Lock()
        self._home = TemporaryDirectory(prefix="brevdue-")
        # The first order's directory goes with it; this process stays.
        places = {"HOME": self._home.name, "TMPDIR": self._home.name}
        self._process = subprocess.Popen(
            [*command, "tests.warm", program, LOADS[program]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**env, **places, "XDG_CACHE_HOME": self._home.name},
            cwd=cwd,
            start_new_session=True,
        )

    def do(self, order: bytes, timeout: float) -> tuple[int, bytes, bytes]:
        """Return the status and what was written; TimeoutError when there was no end in time."""
        with self._lock, TemporaryDirectory(prefix="brevdue-") as directory:
            place = Path(directory)
            (place / "in").write_bytes(order)
            status = self._ask(place, timeout)
            return status, (place / "out").read_bytes(), (place / "err").read_bytes()

    def _ask(self, place: Path, timeout: float) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{place}\n".encode())
        stdin.flush()
        if not select.select([stdout], [], [], timeout)[0]:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise TimeoutError
        return int(stdout.readline())

    def end(self) -> None:
        self._process.communicate()
        self._home.cleanup()


class Children:
    """Has of `subprocess` what gdpr.bounded uses."""

    TimeoutExpired = subprocess.TimeoutExpired
    CompletedProcess = subprocess.CompletedProcess

    def __init__(self) -> None:
        self._warm: dict[str, Warm] = {}
        self._lock = Lock()
        # The same order has the same answer; see test_two_renders_are_the_same_octets.
        self._answers: dict[tuple[str, bytes], subprocess.CompletedProcess[bytes]] = {}

    def run(
        self, command: list[str], *, input: bytes, timeout: float, **kept: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run; a program that is not in LOADS is started by it."""
        *python, program = command
        if program not in LOADS:
            return subprocess.run(command, input=input, timeout=timeout, **kept)
        order = (program, sha256(input).digest())
        if order not in self._answers:
            if len(self._answers) == REMEMBERED:
                self._answers.clear()
            warm = self._of(python, program, kept)
            self._answers[order] = self._ask(warm, command, input, timeout)
        return self._answers[order]

    def _ask(
        self, warm: Warm, command: list[str], order: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.CompletedProcess(command, *warm.do(order, timeout))
        except TimeoutError:
            self._warm.pop(command[-1]).end()
            raise subprocess.TimeoutExpired(command, timeout) from None

    def _of(self, python: list[str], program: str, kept: dict[str, Any]) -> Warm:
        with self._lock:
            if program not in self._warm:
                self._warm[program] = Warm(python, program, cwd=kept["cwd"], env=kept["env"])
            return self._warm[program]

    def end(self) -> None:
        while self._warm:
            self._warm.popitem()[1].end()
