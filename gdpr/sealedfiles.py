# SPDX-License-Identifier: AGPL-3.0-or-later
"""A file that is sealed while it is written and opened while it is read, in constant memory.

AES-256-GCM in pieces, each numbered and the last one marked: pieces cannot be cut off, exchanged
or carried over to another file (the construction known as STREAM). A file begins with a prefix of
its own, drawn at random, for all its nonces: several files under one key, as when one is made
anew, never use the same nonce (NIST SP 800-38D section 8.2).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PIECE_OCTETS = 256 * 1024
TAG_OCTETS = 16
# With it a nonce has its 12 octets: prefix, 4 of the number, and 1 that marks the last piece.
PREFIX_OCTETS = 7


class FileDamaged(Exception):
    """The file is not the one that was written, or not the whole of it."""


class SealingWriter(RawIOBase):
    """Seals what is written to it. The file appears under its name when it is complete.

    `octets` and `digest` (SHA-256) are those of the content, not of the file.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._cipher = AESGCM(key)
        self._prefix = secrets.token_bytes(PREFIX_OCTETS)
        # Each writer has a draft of its own, so that one who comes late spoils nobody's.
        self._draft = path.with_name(f".{path.name}.{self._prefix.hex()}")
        self._waiting = bytearray()
        self._number = 0
        self.octets = 0
        self.digest = sha256()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It stays open from one `write` to the next, and `__exit__` closes it.
        self._file: IO[bytes] = open(self._draft, "xb", opener=_private)  # noqa: SIM115
        self._file.write(self._prefix)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # zipfile gives bytes alone
        self.octets += len(data)
        self.digest.update(data)
        self._waiting += data
        # One piece is always held back: only the end knows which one is the last.
        while len(self._waiting) > PIECE_OCTETS:
            self._seal(bytes(self._waiting[:PIECE_OCTETS]), last=False)
            del self._waiting[:PIECE_OCTETS]
        return len(data)

    def finish(self) -> None:
        """Write the last piece; the file is on the disk and has its name afterwards."""
        self._seal(bytes(self._waiting), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._draft.replace(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was left unfinished is nothing.
        self._file.close()
        self._draft.unlink(missing_ok=True)
        super().__exit__(kind, error, trace)

    def _seal(self, piece: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last=last)
        self._file.write(self._cipher.encrypt(nonce, piece, None))
        self._number += 1


def opened(path: Path, key: bytes) -> Iterator[bytes]:
    """Yield the content piece by piece. Raises FileNotFoundError, FileDamaged."""
    cipher = AESGCM(key)
    with open(path, "rb") as file:
        prefix = file.read(PREFIX_OCTETS)
        number, piece = 0, file.read(PIECE_OCTETS + TAG_OCTETS)
        while piece:
            following = file.read(PIECE_OCTETS + TAG_OCTETS)
            yield _open(cipher, piece, _nonce(prefix, number, last=not following))
            number, piece = number + 1, following
    if not number:
        raise FileDamaged("empty")


def remove(path: Path) -> None:
    """Remove the file and its drafts; harmless when there is none."""
    for file in (path, *path.parent.glob(f".{path.name}.*")):
        file.unlink(missing_ok=True)


def name_of(file: Path) -> str:
    """Return the name of the file that this is, or is a draft of."""
    return file.name.removeprefix(".").partition(".")[0]


def _open(cipher: AESGCM, piece: bytes, nonce: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, piece, None)
    except InvalidTag:
        raise FileDamaged("a piece cannot be opened") from None


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
