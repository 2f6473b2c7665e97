# SPDX-License-Identifier: AGPL-3.0-or-later
"""One planted fault, and how it gets into a file and out of it again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of one place in one file, and the test that must notice it."""

    behaviour: int  # the number that the test bears; 0 where the list has none
    path: str
    old: str  # stands exactly once in the file
    new: str
    test: str  # as pytest names it, without parameters

    @property
    def is_migration(self) -> bool:
        """Whether the fault is seen only in a database that was made with it."""
        return "/migrations/" in self.path

    def planted(self, source: str) -> str:
        """Return the text with the fault in it. Raises ValueError unless there is one place."""
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"{self.path}: {count} places instead of one for {self.old!r}")
        return source.replace(self.old, self.new)


@contextmanager
def planted(tree: Path, fault: Fault) -> Iterator[None]:
    """Keep the fault in the tree's file meanwhile."""
    path = tree / fault.path
    source, times = path.read_bytes(), path.stat()
    path.write_text(fault.planted(source.decode()))
    try:
        yield
    finally:
        path.write_bytes(source)
        # Compiled files go by size and time: the one from before fits again, and no other.
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
