# SPDX-License-Identifier: AGPL-3.0-or-later
"""The arithmetic of an audit chain: the same digest as `accounts_audit_append` makes in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain: how many events there have been, and the digest of the last."""

    sequence: int
    digest: bytes


START = Link(0, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    organisation_id: UUID | None
    sequence: int
    at: datetime
    actor_id: UUID | None
    action: str
    target_type: str
    target_id: str
    fields: tuple[str, ...]
    previous_digest: bytes
    digest: bytes

    def line(self) -> str:
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        names = (self.action, self.target_type, self.target_id, ",".join(self.fields))
        owner, actor = self.organisation_id or "-", self.actor_id or "-"
        return "|".join((str(self.sequence), str(owner), at, str(actor), *names))

    def expected_digest(self) -> bytes:
        return sha256(self.previous_digest + self.line().encode()).digest()


def faults(entries: Iterable[Entry], start: Link, head: Link) -> Iterator[str]:
    """Yield what is wrong with the chain that leads from `start` to `head`; nothing when whole."""
    last = start
    for entry in entries:
        if entry.sequence != last.sequence + 1:
            yield f"event {last.sequence + 1} is missing"
        elif entry.previous_digest != last.digest:
            yield f"event {entry.sequence} does not follow the one before"
        if entry.digest != entry.expected_digest():
            yield f"event {entry.sequence} was altered"
        last = Link(entry.sequence, entry.digest)
    if last != head:
        yield f"the chain ends at event {last.sequence}, its head says {head.sequence}"
