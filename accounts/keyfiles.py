# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keys as files of 32 octets in a private directory, outside the database and its dumps."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

KEY_OCTETS = 32
CACHE_SECONDS = 60.0


class KeyGone(Exception):
    """The key is not in the directory: what was sealed under it cannot be opened."""


def directory_of(url: str) -> Path:
    """Return the directory that a file:// URL names. Raises ValueError for any other scheme."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path:
        raise ValueError("a key directory is named as file:///path")
    return Path(unquote(parts.path))


class KeyDirectory:
    """Reads, makes and destroys key files; every change is on the disk before it counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        if not self.path.is_dir():
            return []
        return sorted(file.name for file in self.path.iterdir() if not file.name.startswith("."))

    def read(self, name: str) -> bytes:
        """Return the key. Raises KeyGone."""
        if not name or "/" in name or name.startswith("."):
            raise KeyGone(name)
        try:
            secret = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise KeyGone(name) from None
        if len(secret) != KEY_OCTETS:
            raise KeyGone(f"{name} is damaged")
        return secret

    def make(self, name: str) -> bytes:
        """Return a new key under this name, or the one that another process made first."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path / f".{name}.{secrets.token_hex(8)}"
        _write_durably(draft, secrets.token_bytes(KEY_OCTETS))
        # A link appears whole and only once; a reader never sees a file half written.
        with suppress(FileExistsError):
            os.link(draft, self.path / name)
        draft.unlink()
        self._sync()
        return self.read(name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        self._sync()

    def _sync(self) -> None:
        with _opened(self.path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)


def _write_durably(path: Path, content: bytes) -> None:
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
        os.write(descriptor, content)
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class HourKey:
    id: str
    secret: bytes = field(repr=False)


class HourKeys:
    """The keyring of hour keys. Each process that seals makes a key of its own for each hour.

    Only the mail path has one of these, and no key stays in memory for longer than CACHE_SECONDS
    after it was last read from the disk.
    """

    def __init__(self, directory: Path | str) -> None:
        self._directory = KeyDirectory(Path(directory))
        self._current: HourKey | None = None
        self._owner = os.getpid()
        self._cache: dict[str, tuple[float, HourKey]] = {}

    def current(self, now: datetime, *, closed: str = "") -> HourKey:
        """Return this process's key of the hour; `closed` names one that must not be used again."""
        prefix = f"{now:%Y%m%dT%H}-"
        key = self._current
        usable = key is not None and key.id.startswith(prefix) and key.id != closed
        if key is None or not usable or self._owner != os.getpid():
            key = self._make(prefix)
        return key

    def get(self, key_id: str) -> HourKey:
        """Return a key by its id. Raises KeyGone once it is destroyed (within CACHE_SECONDS)."""
        known = self._cache.get(key_id)
        if known and known[0] > time.monotonic():
            return known[1]
        self._forget_old()
        key = HourKey(key_id, self._directory.read(key_id))
        self._cache[key_id] = (time.monotonic() + CACHE_SECONDS, key)
        return key

    def destroy(self, key_id: str) -> None:
        """Remove the key for good; harmless when it is gone already."""
        self._cache.pop(key_id, None)
        if self._current and self._current.id == key_id:
            self._current = None
        self._directory.remove(key_id)

    def ids(self) -> list[str]:
        return self._directory.names()

    def _make(self, prefix: str) -> HourKey:
        key_id = prefix + secrets.token_hex(8)
        self._current = HourKey(key_id, self._directory.make(key_id))
        self._owner = os.getpid()
        return self._current

    def _forget_old(self) -> None:
        limit = time.monotonic()
        self._cache = {name: entry for name, entry in self._cache.items() if entry[0] > limit}
