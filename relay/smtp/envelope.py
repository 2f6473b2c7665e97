# SPDX-License-Identifier: AGPL-3.0-or-later
"""The envelope of one message (RFC 5321 §2.3.1) as plain values, shared along the mail path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipient:
    """One forward-path with its DSN parameters (RFC 3461 §4)."""

    # Local part as the client gave it (RFC 5321 §2.4: only the last host may interpret it);
    # domain in lower case: A-labels, or U-labels where the client used SMTPUTF8.
    address: str
    notify: str = ""  # "", "NEVER", or a comma list of SUCCESS, FAILURE, DELAY
    orcpt: str = ""  # as given, xtext not decoded


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything a client said before DATA that has to travel with the content."""

    sender: str  # "" is the null reverse-path
    recipients: tuple[Recipient, ...]
    body: str = "7BIT"  # or "8BITMIME" (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    ret: str = ""  # "", "FULL" or "HDRS" (RFC 3461 §4.3)
    envid: str = ""  # as given, xtext not decoded
