# SPDX-License-Identifier: AGPL-3.0-or-later
"""Header fields by which a message asks this service for something. Pure.

They can only make stricter what the credential and the route allow. All fields of this name space
are taken out before the message is stored, known or not.

* `RELAY-Require-TLS: yes` asks that the next hop gets the message over TLS only, or not at all.
  Any other value is refused, `no` as well: a message cannot ask for less than its route demands.
* `RELAY-Log` is refused, whatever it says: a message that asks for a thinner log must not be
  taken by a server that would write the usual one.
* Fields that nobody knows ask for nothing; they may belong to another service of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = b"relay-"
REQUIRE_TLS = b"relay-require-tls"
LOG = b"relay-log"


class Refused(ValueError):
    """A field that asks for what cannot be done, or not clearly."""


@dataclass(slots=True)
class Controls:
    """What a message asks for."""

    require_tls: bool = False

    def note(self, name: bytes, value: bytes) -> None:
        """Take in one field, its name in lower case. Raises Refused."""
        if name == LOG:
            raise Refused
        if name == REQUIRE_TLS:
            if _word(value) != b"yes":
                raise Refused
            self.require_tls = True


def _word(value: bytes) -> bytes:
    """Return a field's text unfolded (RFC 5322 §2.2.3), in lower case; comments are not known."""
    return value.replace(b"\r\n", b"").strip(b" \t").lower()
