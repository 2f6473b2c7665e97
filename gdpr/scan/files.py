# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every file below some directories: its name and its octets, also where gzip packed them."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from gdpr.scan.needles import Finding, Kind, Needle, ScanIncomplete

CHUNK = 1 << 20
# Longer than any form of any needle, so that none falls between two chunks.
OVERLAP = 4096
GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1


@dataclass(frozen=True, slots=True)
class Searched:
    findings: list[Finding]
    files: int


def search(places: Mapping[str, Iterable[Path]], needles: Sequence[Needle]) -> Searched:
    """Look through the directories (or files) of each place. Raises ScanIncomplete."""
    found: Counter[tuple[str, Kind]] = Counter()
    files = 0
    for place, roots in places.items():
        for path in _files(roots):
            files += 1
            found.update((place, kind) for kind in _kinds_in(place, path, needles))
    findings = [Finding(place=p, kind=k, count=n) for (p, k), n in sorted(found.items(), key=str)]
    return Searched(findings, files)


def _files(roots: Iterable[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_file():
            yield root
        yield from (path for path in root.rglob("*") if path.is_file())


def _kinds_in(place: str, path: Path, needles: Sequence[Needle]) -> set[Kind]:
    found: set[Kind] = set()
    try:
        for piece in (path.name.encode(), *_pieces(path)):
            found |= {needle.kind for needle in needles if needle.is_in(piece)}
    except FileNotFoundError:
        return found  # it went meanwhile, and everything of it
    except (OSError, EOFError, zlib.error) as error:
        raise ScanIncomplete(f"{place}: {type(error).__name__}") from None
    return found


def _pieces(path: Path) -> Iterator[bytes]:
    tail = b""
    with _opened(path) as file:
        while chunk := file.read(CHUNK):
            yield tail + chunk
            tail = chunk[-OVERLAP:]


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP)) == GZIP
    return cast("IO[bytes]", gzip.open(path)) if is_packed else path.open("rb")
