# SPDX-License-Identifier: AGPL-3.0-or-later
"""Heads of the audit chains in signed lines outside the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.conf import settings

from accounts.audit.chain import Link
from accounts.signedlines import SignedLines


@dataclass(frozen=True, slots=True)
class Anchor:
    organisation_id: UUID | None
    head: Link


def append(anchors: Iterable[Anchor], at: datetime) -> None:
    """Write the heads; they are on the disk on return."""
    _lines().append([_body(anchor, at) for anchor in anchors], at)


def read(since: datetime) -> Iterator[Anchor]:
    """Check every line; yield the anchors written since then, oldest first.

    An older one speaks of events that have expired. Raises signedlines.LinesAltered.
    """
    for body in _lines().read():
        at, anchor = _anchor(body)
        if at >= since:
            yield anchor


def drop_before(limit: datetime) -> None:
    """Remove the files of months that ended before `limit`: their events have expired."""
    _lines().drop_before(limit)


def _lines() -> SignedLines:
    return SignedLines(Path(settings.AUDIT_ANCHORS), "anchors-", "audit-anchor")


def _body(anchor: Anchor, at: datetime) -> str:
    owner = str(anchor.organisation_id or "")
    return f"{at.isoformat()}|{owner}|{anchor.head.sequence}|{anchor.head.digest.hex()}"


def _anchor(body: str) -> tuple[datetime, Anchor]:
    at, owner, sequence, digest = body.split("|")
    head = Link(int(sequence), bytes.fromhex(digest))
    return datetime.fromisoformat(at), Anchor(UUID(owner) if owner else None, head)
