# SPDX-License-Identifier: AGPL-3.0-or-later
"""How the two processes talk: a length in four octets, then so many octets."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

from relay.smtp.replies import MAX_TEXT
from relay.smtp.reports import LONGEST_ADDRESS, MOST_RECIPIENTS, Action, Reported

LENGTH = struct.Struct(">I")
LARGEST_ANSWER = 1024 * 1024
_LONGEST_ENHANCED = 12


def framed(octets: bytes) -> bytes:
    return LENGTH.pack(len(octets)) + octets


def taken(stream: BinaryIO) -> bytes | None:
    """Return the next octets that were framed, None at the end of the stream."""
    head = stream.read(LENGTH.size)
    return stream.read(*LENGTH.unpack(head)) if len(head) == LENGTH.size else None


def order(content: bytes, *, has_sender: bool) -> bytes:
    return bytes([has_sender]) + content


def answer(found: Sequence[Reported] | None) -> bytes:
    """Return what was found as octets; None stands for a content that nobody can read."""
    return json.dumps(None if found is None else [asdict(one) for one in found]).encode()


def understood(octets: bytes) -> tuple[Reported, ...]:
    """Return what `answer` was given, nothing for None. Raises ValueError.

    Whoever wrote the content may have the other process say anything.
    """
    try:
        rows = json.loads(octets) or ()
        return tuple(map(_reported, rows[:MOST_RECIPIENTS]))
    except (KeyError, TypeError, AttributeError) as fault:
        raise ValueError(type(fault).__name__) from None


def _reported(row: dict[str, Any]) -> Reported:
    code = int(row["code"])
    return Reported(
        action=Action(row["action"]),
        addresses=tuple(str(one)[:LONGEST_ADDRESS] for one in row["addresses"][:2]),
        code=code if 200 <= code < 600 else 0,
        enhanced=str(row["enhanced"])[:_LONGEST_ENHANCED],
        text=str(row["text"])[:MAX_TEXT],
    )
