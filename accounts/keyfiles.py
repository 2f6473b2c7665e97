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
# Tells a keyring from the bare directory that a lost mount leaves behind.
MARK = ".keyring"


class KeyGone(Exception):
    """The key was destroyed: what was sealed under it cannot be opened any more."""


class VaultError(Exception):
    """A value cannot be opened: wrong key, wrong purpose, wrong owner, altered, or no key now."""


class KeyringAway(VaultError):
    """The keyring is not where it should be, so a missing key says nothing about its mail."""


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
        """Return the names of all keys; none when there is no directory. Raises VaultError."""
        try:
            found = [file.name for file in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise VaultError(f"no look at the keys ({type(fault).__name__})") from None
        return sorted(name for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes:
        """Return the key. Raises KeyGone, or VaultError when it is there but cannot be read."""
        if not name or "/" in name or name.startswith("."):
            raise KeyGone(name)
        try:
            secret = (self.path / name).read_bytes()
        except FileNotFoundError:
            raise KeyGone(name) from None
        except OSError as fault:
            raise VaultError(f"{name} cannot be read ({type(fault).__name__})") from None
        if len(secret) != KEY_OCTETS:
            raise VaultError(f"{name} is damaged")
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
        _sync(self.path)
        return self.read(name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        _sync(self.path)


def _sync(directory: Path) -> None:
    with _opened(directory, os.O_RDONLY) as descriptor:
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


def make_keyring(path: Path) -> None:
    """Make the directory and its mark, without which no key is made and none counts as destroyed.

    Only where no mail waits under keys that lie elsewhere: it would be taken for mail whose keys
    are destroyed.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        _write_durably(path / MARK, b"")
    _sync(path)


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
        """Return this process's key of the hour; `closed` names one that must not be used again.

        Raises KeyringAway, or OSError when no key can be written.
        """
        prefix = f"{now:%Y%m%dT%H}-"
        key = self._current
        usable = key is not None and key.id.startswith(prefix) and key.id != closed
        if key is None or not usable or self._owner != os.getpid():
            key = self._make(prefix)
        return key

    def get(self, key_id: str) -> HourKey:
        """Return a key by its id. Raises KeyGone once it is destroyed (within CACHE_SECONDS).

        Raises VaultError when that cannot be told, because keyring or key cannot be read.
        """
        known = self._cache.get(key_id)
        if known and known[0] > time.monotonic():
            return known[1]
        self._forget_old()
        key = HourKey(key_id, self._read(key_id))
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

    def _read(self, key_id: str) -> bytes:
        try:
            return self._directory.read(key_id)
        except KeyGone:
            self._demand_mark()
            raise

    def _demand_mark(self) -> None:
        if not os.path.exists(self._directory.path / MARK):
            raise KeyringAway("the keyring is away; `manage.py make_keyring` makes the first one")

    def _make(self, prefix: str) -> HourKey:
        self._demand_mark()
        key_id = prefix + secrets.token_hex(8)
        self._current = HourKey(key_id, self._directory.make(key_id))
        self._owner = os.getpid()
        return self._current

    def _forget_old(self) -> None:
        limit = time.monotonic()
        self._cache = {name: entry for name, entry in self._cache.items() if entry[0] > limit}
