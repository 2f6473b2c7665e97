# SPDX-License-Identifier: AGPL-3.0-or-later
"""Starting and ending programs so that none of them outlives the launcher."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from config.stack.places import Account

LARGEST_LOG = 20_000_000  # octets
PR_SET_PDEATHSIG = 1  # prctl(2), Linux only
LINUX = platform.system() == "Linux"
LIBC = ctypes.CDLL(None) if LINUX else None


def die_with_parent(ending: signal.Signals, parent: int | None = None) -> Callable[[], None]:
    """A function for the child: the kernel sends it this signal when its parent is gone.

    It must run after a change of user, which clears the setting (prctl(2)). Elsewhere than on
    Linux it does nothing; the next start finds and stops what was left. Without `parent` the
    caller of this function is meant.
    """
    expected = parent or os.getpid()

    def ask_kernel() -> None:
        if LIBC is None:
            return
        LIBC.prctl(PR_SET_PDEATHSIG, int(ending), 0, 0, 0)
        if os.getppid() != expected:
            os._exit(1)

    return ask_kernel


def spawn(
    command: Sequence[str | Path],
    *,
    ending: signal.Signals,
    log: IO[bytes] | int | None = None,
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that the terminal's Ctrl-C is ours to pass on."""
    options: dict[str, Any] = dict(account.popen_options() if account else {})
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=dict(environment) if environment is not None else None,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=die_with_parent(ending),
        **options,
    )


def run_as(account: Account, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as this account, from a directory that everybody can stand in."""
    options: dict[str, Any] = dict(account.popen_options())
    words = [str(part) for part in command]
    return subprocess.run(words, cwd="/", capture_output=True, text=True, **options)


def open_log(path: Path) -> IO[bytes]:
    """Open a log to append to; a long one starts over."""
    grown = path.exists() and path.stat().st_size > LARGEST_LOG
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if grown else os.O_APPEND)
    return open(os.open(path, flags, 0o600), "ab")


def tail(path: Path, lines: int = 12) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def end(child: subprocess.Popen[bytes], *signals: signal.Signals, patience: float) -> None:
    """Send the signals in turn, waiting at most `patience` seconds after each."""
    for number in signals:
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue


def end_stranger(pid: int, *signals: signal.Signals, patience: float) -> None:
    """The same for a process that is not our child: one left over from a killed launcher."""
    for number in signals:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_until(lambda: not command_line(pid), patience):
            return


def command_line(pid: int) -> str:
    """The command line of a process; empty when it is gone or only waits to be reaped."""
    if LINUX:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            return ""
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
