# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signed heads of the audit chains in files outside the database, one line each, month by month.

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
from uuid import UUID

from django.conf import settings

from accounts import vault
from accounts.auditchain import Link

PREFIX = "anchors-"


@dataclass(frozen=True, slots=True)
class Anchor:
    organisation_id: UUID | None
    head: Link


class AnchorsAltered(Exception):
    """A line of an anchor file does not carry its signature."""


def append(anchors: Iterable[Anchor], at: datetime) -> None:
    """Write the heads to the file of the month; they are on the disk on return."""
    directory = Path(settings.AUDIT_ANCHORS)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{PREFIX}{at:%Y-%m}.jsonl"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        last = _last_signature(file.readlines())
        for anchor in anchors:
            body = _body(anchor, at)
            last = _signature(last, body)
            file.write(json.dumps([body, last]).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(since: datetime) -> Iterator[Anchor]:
    """Check every line; yield the anchors written since then, oldest first. Raises AnchorsAltered.

    An older one speaks of events that have expired.
    """
    for path in sorted(Path(settings.AUDIT_ANCHORS).glob(f"{PREFIX}*.jsonl")):
        for at, anchor in _read_file(path):
            if at >= since:
                yield anchor


def drop_before(limit: datetime) -> None:
    """Remove the files of months that ended before `limit`: their events have expired."""
    oldest_kept = f"{PREFIX}{limit:%Y-%m}.jsonl"
    for path in Path(settings.AUDIT_ANCHORS).glob(f"{PREFIX}*.jsonl"):
        if path.name < oldest_kept:
            path.unlink()


def _read_file(path: Path) -> Iterator[tuple[datetime, Anchor]]:
    last = ""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            body, signature = json.loads(line)
        except ValueError:
            raise AnchorsAltered(f"{path.name}, line {number}") from None
        if not compare_digest(_signature(last, body), signature):
            raise AnchorsAltered(f"{path.name}, line {number}")
        last = signature
        yield _anchor(body)


def _last_signature(lines: list[bytes]) -> str:
    return str(json.loads(lines[-1])[1]) if lines else ""


def _body(anchor: Anchor, at: datetime) -> str:
    owner = str(anchor.organisation_id or "")
    return f"{at.isoformat()}|{owner}|{anchor.head.sequence}|{anchor.head.digest.hex()}"


def _anchor(body: str) -> tuple[datetime, Anchor]:
    at, owner, sequence, digest = body.split("|")
    head = Link(int(sequence), bytes.fromhex(digest))
    return datetime.fromisoformat(at), Anchor(UUID(owner) if owner else None, head)


def _signature(last: str, body: str) -> str:
    return vault.keyed_hash("audit-anchor", f"{last}|{body}".encode()).hex()
