# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sign-in mechanisms every client speaks: PLAIN (RFC 4616) and LOGIN (never standardised)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable

MECHANISMS = frozenset({"PLAIN", "LOGIN"})
_USER_NAME, _PASSWORD = b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"  # "Username:" and "Password:"

Ask = Callable[[bytes], Awaitable[bytes]]


class Cancelled(ValueError):
    """The client gave up with `*` (RFC 4954 §4)."""


class NotThreeParts(ValueError):
    """A message of PLAIN that is not identity, user name and password (RFC 4616 §2)."""


class NotUtf8(ValueError):
    """Base64 of something that is no text."""


async def read(mechanism: str, initial: str, ask: Ask) -> tuple[str, str]:
    """User name and password. `ask` sends a challenge and brings the line that answers it.

    Raises Cancelled, NotThreeParts, NotUtf8, and any other ValueError for wrong base64.
    """
    if mechanism == "LOGIN":
        username = _decoded(initial) if initial else _response(await ask(_USER_NAME))
        return username, _response(await ask(_PASSWORD))
    response = _decoded(initial) if initial else _response(await ask(b""))
    parts = response.split("\0")
    if len(parts) != 3:
        raise NotThreeParts
    acting_for, username, password = parts
    # Acting for somebody else is not offered; nobody has the empty name.
    return (username, password) if acting_for in ("", username) else ("", "")


def _response(line: bytes) -> str:
    if line == b"*":
        raise Cancelled
    return _decoded(line.decode("ascii"))


def _decoded(text: str) -> str:
    """Base64 to text; "=" stands for nothing (RFC 4954 §4)."""
    octets = b"" if text == "=" else b64decode(text, validate=True)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise NotUtf8 from None
