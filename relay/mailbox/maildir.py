# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeps mail as Maildir, durable before anyone hears of it. For the development mailbox.

Syncing two files and a directory for every message would cost milliseconds each; so what arrived
together is first synced in one journal and then written as files. After a power cut the journal
brings back what the files lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAX_JOURNAL = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """One message with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    def envelope(self) -> bytes:
        """The side file's text."""
        facts = {"X-Envelope-From": self.sender, "X-Envelope-To": list(self.recipients)}
        return json.dumps(facts, ensure_ascii=False).encode("utf-8", "surrogateescape")


class Maildir:
    """One directory, one writer. Letters that come while others are synced share the next sync."""

    def __init__(self, directory: Path) -> None:
        for part in ("new", "tmp", "cur"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        self._new, self._tmp = (f"{directory / part}/" for part in ("new", "tmp"))
        self._path = directory / "journal"
        self._recover()
        self._journal = self._path.open("wb")
        self._count = 0
        self._waiting: list[tuple[Letter, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, letter: Letter) -> None:
        """Return when the letter is on disk and can be seen. Raises OSError."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((letter, kept))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        await kept

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, [letter for letter, _ in batch])
            except OSError as error:
                _tell(batch, error)
            else:
                _tell(batch, None)
        self._writing = None

    def _write(self, letters: list[Letter]) -> None:
        named = [(self._name(), letter) for letter in letters]
        self._journal.writelines(part for name, letter in named for part in _record(name, letter))
        self._journal.flush()
        os.fsync(self._journal.fileno())
        for name, letter in named:
            self._write_files(name, letter.envelope(), letter.content)
        if self._journal.tell() > MAX_JOURNAL:
            self._start_over()

    def _name(self) -> str:
        self._count += 1
        return f"{time.time_ns()}.P{os.getpid()}Q{self._count}.mailbox"

    def _write_files(self, name: str, envelope: bytes, content: bytes) -> None:
        # The envelope first: whoever sees a message finds its envelope complete beside it.
        _write(f"{self._new}{name}.envelope.json", envelope)
        _write(self._tmp + name, content)
        os.rename(self._tmp + name, self._new + name)

    def _start_over(self) -> None:
        """Forget the journal once all files are on disk without it."""
        os.sync()
        self._journal.seek(0)
        self._journal.truncate()

    def _recover(self) -> None:
        """Write again what the journal has and the directory has not, or not whole."""
        if not self._path.exists():
            return
        with self._path.open("rb") as journal:
            for name, envelope, content in _records(journal):
                path = Path(self._new, name)
                if not path.exists() or path.stat().st_size != len(content):
                    self._write_files(name, envelope, content)
        os.sync()

    async def finish(self) -> None:
        """Keep what waits, and leave no journal: what was removed since must stay removed."""
        if self._writing is not None:
            await self._writing
        os.sync()
        self._journal.close()
        self._path.unlink()


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def _record(name: str, letter: Letter) -> tuple[bytes, bytes]:
    head = {"name": name, "size": len(letter.content), "envelope": letter.envelope().decode()}
    return json.dumps(head).encode() + b"\n", letter.content


def _records(journal: BinaryIO) -> Iterator[tuple[str, bytes, bytes]]:
    """Read up to the first record that was cut short: its message was never confirmed."""
    while line := journal.readline():
        try:
            head = json.loads(line)
        except ValueError:
            return
        content = journal.read(head["size"])
        if len(content) < head["size"]:
            return
        yield head["name"], head["envelope"].encode(), content


def _tell(batch: list[tuple[Letter, asyncio.Future[None]]], error: OSError | None) -> None:
    for _, kept in batch:
        if kept.done():
            continue
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)
