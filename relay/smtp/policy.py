# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the server asks about a client and its mail; the answers are given elsewhere."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from relay.smtp.addresses import Address
from relay.smtp.answers import Answer
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.headers import Header


class Identity(Protocol):
    """What the policy knows of a client that it let in."""

    @property
    def owner(self) -> Hashable:
        """Whose places and memory it takes; all that one organisation has count together."""


@dataclass(slots=True)
class Client:
    """Who is at the other end of one connection."""

    address: str  # of the network peer; personal data: never logged, never stored
    tls_version: str = ""  # "" without TLS
    tls_cipher: str = ""
    greeting: str = ""  # "EHLO" or "HELO", whichever came last; "" before
    identity: Identity | None = None  # what `authenticate` or `recognise` of Policy returned
    sender: Address | None = None  # of the message that is under way; None: the null reverse-path


@dataclass(frozen=True, slots=True)
class Submitted:
    """One complete DATA that passed every check of form."""

    envelope: Envelope
    content: bytes = field(repr=False)  # as received, transparency dots removed
    header: Header


class Policy(Protocol):
    """Decisions of the service. An exception becomes 451 4.3.0, never a permanent refusal."""

    async def connect(self, client: Client) -> Answer | None:
        """A refusal, or None to go on."""

    async def authenticate(self, client: Client, username: str, password: str) -> Identity | Answer:
        """The identity for `Client.identity`, or an `Answer` with code 400 and above."""

    async def recognise(self, client: Client, sender: Address | None) -> Identity | None:
        """Who sends from this reverse-path: whoever signed in, else who needs no sign-in because
        of where the client is, or None. Becomes the client's identity. Under the null one it may
        be left to `accept` which of several it is.
        """

    async def mail(self, client: Client, sender: Address | None) -> Answer | None:
        """A refusal of this reverse-path (None is the null one), or None to go on."""

    async def rcpt(self, client: Client, recipient: Recipient) -> Answer | None:
        """A refusal of this recipient only, or None to go on."""

    async def accept(self, client: Client, message: Submitted) -> Answer:
        """Take the message over. A positive answer is a promise: it is durable from here on."""
