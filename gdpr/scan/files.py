# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every file below some directories: its name and its octets, also where they are packed.

What cannot be looked into is an incomplete scan: a directory that is missing or closed, a format
that only packs and that nothing here opens.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from gdpr.scan.needles import Finding, Kind, Needle, ScanIncomplete, is_mention, listed

CHUNK = 1 << 20
# Longer than any form of any needle, so that none falls between two chunks.
OVERLAP = 4096
# What a file begins with, and what reads it: RFC 1952, section 2.3.1, and the formats' own pages.
OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# Zstandard (RFC 8878, section 3.1.1), zip, LZ4, lzip, 7z, compress.
CLOSED = (
    b"\x28\xb5\x2f\xfd",
    b"PK\x03\x04",
    b"\x04\x22\x4d\x18",
    b"LZIP",
    b"7z\xbc\xaf",
    b"\x1f\x9d",
)
LONGEST_START = max(map(len, (*OPENERS, *CLOSED)))


@dataclass(frozen=True, slots=True)
class Place:
    """Directories (or files) with a name that a certificate can state.

    Of files that are `sealed`, encrypted as a whole, only the names say anything.
    """

    name: str
    roots: tuple[Path, ...]
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Searched:
    """`files` says how many were looked at, place by place."""

    findings: list[Finding]
    files: dict[str, int]
    mentions: int


def search(places: Sequence[Place], needles: Sequence[Needle]) -> Searched:
    """Look through every place. Raises ScanIncomplete."""
    found: Counter[tuple[str, Kind]] = Counter()
    files: dict[str, int] = {}
    mentions = 0
    for place in places:
        try:
            paths = list(_files(place))
            files[place.name] = len(paths)
            for path in paths:
                kinds = _kinds_in(place, path, needles)
                found.update((place.name, kind) for kind in kinds)
                mentions += is_mention(kinds)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ScanIncomplete(f"{place.name}: {type(error).__name__}") from None
    return Searched(listed(found), files, mentions)


def _files(place: Place) -> Iterator[Path]:
    """Yield every file, also behind links. Raises OSError for what cannot be listed."""
    seen: set[tuple[int, int]] = set()
    for root in place.roots:
        if stat.S_ISREG(root.stat().st_mode):
            yield root
        yield from _below(root, seen) if root.is_dir() else ()


def _below(directory: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    about = directory.stat()
    # A link may lead to a directory above it.
    if (about.st_dev, about.st_ino) in seen:
        return
    seen.add((about.st_dev, about.st_ino))
    for path in sorted(directory.iterdir()):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            continue  # it went meanwhile, or is a link to nothing
        if stat.S_ISDIR(mode):
            yield from _below(path, seen)
        elif stat.S_ISREG(mode):
            yield path


def _kinds_in(place: Place, path: Path, needles: Sequence[Needle]) -> set[Kind]:
    found: set[Kind] = set()
    pieces = iter(()) if place.sealed else _pieces(place, path)
    try:
        for piece in chain([os.fsencode(path.name)], pieces):
            found |= {needle.kind for needle in needles if needle.is_in(piece)}
    except FileNotFoundError:
        return found  # it went meanwhile, and everything of it
    return found


def _pieces(place: Place, path: Path) -> Iterator[bytes]:
    tail = b""
    with _opened(place, path) as file:
        while chunk := file.read(CHUNK):
            yield tail + chunk
            tail = chunk[-OVERLAP:]


def _opened(place: Place, path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(LONGEST_START)
    if start.startswith(CLOSED):
        raise ScanIncomplete(f"{place.name}: a file in a format that is not read")
    opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
    opened: IO[bytes] = opener(path) if opener else path.open("rb")
    return opened
