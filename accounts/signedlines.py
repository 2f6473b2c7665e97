# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files of signed lines outside the database, month by month: anchors, the journal of erasures.

A line's signature covers the line before, so none can be taken out of the middle of a file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import IO

from accounts import vault


class LinesAltered(Exception):
    """A line of a file does not carry its signature."""


@dataclass(frozen=True, slots=True)
class SignedLines:
    """The files <prefix><year>-<month>.jsonl of one directory, signed for one purpose."""

    directory: Path
    prefix: str
    purpose: str

    def append(self, bodies: Iterable[str], at: datetime) -> None:
        """Write the lines to the file of the month; they are on the disk on return."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.directory / f"{self.prefix}{at:%Y-%m}.jsonl").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = _last_signature(file)
            for body in bodies:
                last = self._signature(last, body)
                file.write(json.dumps([body, last]).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync(self.directory)

    def read(self) -> Iterator[str]:
        """Yield every line's body, oldest first. Raises LinesAltered."""
        for path in self._files():
            yield from self._read_file(path)

    def drop_before(self, limit: datetime) -> None:
        """Remove the files of months that ended before `limit`."""
        oldest_kept = f"{self.prefix}{limit:%Y-%m}.jsonl"
        for path in self._files():
            if path.name < oldest_kept:
                path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob(f"{self.prefix}*.jsonl"))

    def _read_file(self, path: Path) -> Iterator[str]:
        last = ""
        for number, line in enumerate(_whole_lines(path.read_bytes()), start=1):
            try:
                body, signature = json.loads(line)
            except ValueError:
                raise LinesAltered(f"{path.name}, line {number}") from None
            if not compare_digest(self._signature(last, body), signature):
                raise LinesAltered(f"{path.name}, line {number}")
            last = signature
            yield body

    def _signature(self, last: str, body: str) -> str:
        return vault.keyed_hash(self.purpose, f"{last}|{body}".encode()).hex()


def _whole_lines(content: bytes) -> list[bytes]:
    """Return the lines that were written to their end: half a line is a crash's, nobody's word."""
    return content.split(b"\n")[:-1]


def _last_signature(file: IO[bytes]) -> str:
    """Return the signature of the last whole line, and cut off what a crash left behind it."""
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)
    lines = _whole_lines(content)
    return str(json.loads(lines[-1])[1]) if lines else ""


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
