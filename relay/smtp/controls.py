# SPDX-License-Identifier: AGPL-3.0-or-later
"""Header fields by which a message asks this service for something. Pure.

They can only make stricter what the credential, the route and the organisation's choice allow. All
fields of this name space are taken out before the message is stored, known or not.

* `RELAY-Require-TLS: yes` asks that the next hop gets the message over TLS only, or not at all.
  Any other value is refused, `no` as well: a message cannot ask for less than its route demands.
* `RELAY-Log: minimal`, `subject` or `headers` asks that the log holds no more of the message than
  that; where the organisation logs less, it stays at less. Any other value is refused: a message
  that asks for a thinner log must not be taken by a server that would write the usual one.
* `TLS-Required: No` (RFC 8689) is no field of this name space: it travels on, for the servers
  behind the next one. It waives what the recipient's domain demands of whoever sends to it, and
  nothing that the route or the message itself demands. Any other value says nothing.
* Fields that nobody knows ask for nothing; they may belong to another service of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = b"relay-"
REQUIRE_TLS = b"relay-require-tls"
LOG = b"relay-log"
TLS_REQUIRED = b"tls-required"

# How much of a message the log holds, the least first.
PROFILES = ("minimal", "subject", "headers")


class Refused(ValueError):
    """A field that asks for what cannot be done, or not clearly."""


@dataclass(slots=True)
class Controls:
    """What a message asks for."""

    require_tls: bool = False
    log: str = ""  # one of PROFILES; '' where it asks for none
    tls_optional: bool = False  # what the recipient's domain demands is waived

    def note(self, name: bytes, value: bytes) -> None:
        """Take in one field, its name in lower case. Raises Refused."""
        if name == LOG:
            self.log = _thinnest(self.log, _word(value).decode("ascii", "replace"))
        if name == REQUIRE_TLS:
            if _word(value) != b"yes":
                raise Refused
            self.require_tls = True
        if name == TLS_REQUIRED and _word(value) == b"no":
            self.tls_optional = True


def _thinnest(before: str, asked: str) -> str:
    """Return the thinner log of two fields; several may stand there."""
    if asked not in PROFILES:
        raise Refused
    return min(before or asked, asked, key=PROFILES.index)


def _word(value: bytes) -> bytes:
    """Return a field's text unfolded (RFC 5322 §2.2.3), in lower case; comments are not known."""
    return value.replace(b"\r\n", b"").strip(b" \t").lower()
