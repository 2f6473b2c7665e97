# SPDX-License-Identifier: AGPL-3.0-or-later
"""Processor time of a tree of processes, from /proc (Linux)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of these processes, all below them and their ended children."""
    ticks, children = _table()
    total = 0
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        total += ticks.get(pid, 0)
        waiting += children[pid]
    return total / TICK


def _table() -> tuple[dict[int, int], dict[int, list[int]]]:
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # proc(5): the name may hold anything and ends with the last parenthesis.
            words = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(entry.name)
        ticks[pid] = sum(int(word) for word in words[11:15])
        children[int(words[1])].append(pid)
    return ticks, children
