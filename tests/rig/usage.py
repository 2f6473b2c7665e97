# SPDX-License-Identifier: AGPL-3.0-or-later
"""Processor time and memory of a tree of processes, from /proc (Linux)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of these processes, all below them and their ended children."""
    ticks, children = _table()
    return sum(ticks.get(pid, 0) for pid in _tree(roots, children)) / TICK


def resident_octets(roots: Iterable[int]) -> int:
    """Memory that these processes and all below them hold; what they share counts for each."""
    _, children = _table()
    return sum(map(_resident, _tree(roots, children)))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _tree(roots: Iterable[int], children: dict[int, list[int]]) -> Iterator[int]:
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children[pid]


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
