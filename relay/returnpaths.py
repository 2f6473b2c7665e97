# SPDX-License-Identifier: AGPL-3.0-or-later
"""Return paths of mail that the service itself delivers: a report that comes to one names its mail.

The local part holds the message's id, the recipient's place and a keyed hash over both (VERP). No
address is in it and nothing is kept for it: whoever reads it learns when a mail was accepted.
"""

from __future__ import annotations

import hmac
import re
import struct
from base64 import b32decode, b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from accounts import vault
from accounts.ids import uuid7_time
from relay.models.messages import LOG_DAYS

_PURPOSE = "return-path"
_VERSION = 1
_BODY = struct.Struct(">B16sH")
_PROOF_OCTETS = 10
# Stands for several recipients: then the report has to say which.
_SEVERAL = 0xFFFF
# After the letter: 29 octets in base32, which any case of letters survives; 48 of the 64 octets
# that a local part may have (RFC 5321 §4.5.3.1.1).
_TOKEN = re.compile(r"b([a-z2-7]{47})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """Which mail a report is about."""

    message_id: UUID
    position: int | None  # of the recipient; None: one of several


def written(path: ReturnPath) -> str:
    """Return the local part, 48 lower-case letters and digits."""
    position = _SEVERAL if path.position is None else path.position
    body = _BODY.pack(_VERSION, path.message_id.bytes, position)
    return "b" + b32encode(body + _proof(body)).decode().rstrip("=").lower()


def read(local: str, now: datetime) -> ReturnPath | None:
    """Return what a local part stands for; None when it is none of ours, or too old.

    Its log row goes after LOG_DAYS, and with it what a report could be about.
    """
    token = _TOKEN.fullmatch(local)
    if token is None:
        return None
    octets = b32decode(token[1].upper() + "=")
    # The last letter has bits to spare: one of its spellings is ours.
    if b32encode(octets).decode().rstrip("=").lower() != token[1].lower():
        return None
    body, proof = octets[: _BODY.size], octets[_BODY.size :]
    if not hmac.compare_digest(proof, _proof(body)):
        return None
    version, identifier, position = _BODY.unpack(body)
    path = ReturnPath(UUID(bytes=identifier), None if position == _SEVERAL else position)
    is_old = uuid7_time(path.message_id) <= now - timedelta(days=LOG_DAYS)
    return None if version != _VERSION or is_old else path


def _proof(body: bytes) -> bytes:
    return vault.keyed_hash(_PURPOSE, body)[:_PROOF_OCTETS]
