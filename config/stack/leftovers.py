# SPDX-License-Identifier: AGPL-3.0-or-later
"""Processes of this checkout that a killed launcher left behind, known by the mark it gave them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from config.stack.children import LINUX, command_line, wait_until
from config.stack.places import ROOT
from config.stack.processes import MARK

# They were told to end when their launcher died, so most only need a moment.
PATIENCE = 8.0


def end_leftovers(root: Path = ROOT) -> int:
    """End them; returns how many there were. Elsewhere than on Linux none can be recognised."""
    found = marked(root)
    for pid in found:
        _signal(pid, signal.SIGTERM)
    if found and not wait_until(lambda: not marked(root), PATIENCE):
        kill_leftovers(root)
    return len(found)


def kill_leftovers(root: Path = ROOT) -> None:
    """End at once what did not listen."""
    for pid in marked(root):
        _signal(pid, signal.SIGKILL)
    wait_until(lambda: not marked(root), PATIENCE)


def marked(root: Path) -> list[int]:
    """The live processes that carry this checkout's mark in their environment."""
    if not LINUX:
        return []
    mark = os.fsencode(f"{MARK}={root}")
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [
        pid
        for pid in pids
        if pid != os.getpid() and mark in _environment(pid) and command_line(pid)
    ]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
