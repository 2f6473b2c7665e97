# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an attempt may add to a mail on its way out: a signature, and a return path of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.queue import Leased, Work
from relay.smtp.envelope import Envelope
from relay.transports import RouteTarget


class Signer(Protocol):
    """Signs mail as its author's domain."""

    async def sign(self, work: Work, target: RouteTarget, content: bytes) -> bytes:
        """Return the content with a signature before it, or as it is.

        Raises VaultError when a key cannot be opened, and then nothing leaves.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class ReturnPaths(Protocol):
    """Says where failures that come later are told."""

    async def envelope(
        self, work: Work, target: RouteTarget, recipients: Sequence[Leased]
    ) -> Envelope:
        """Return the envelope for these recipients of a message; a null sender stays null.

        Waits for a database that is away.
        """
        ...

    async def close(self) -> None:
        """Hang up on the database."""
        ...


class PassOn:
    """Signs nothing: customers' servers sign their own mail."""

    async def sign(self, work: Work, target: RouteTarget, content: bytes) -> bytes:
        """Return the content as it is; see Signer."""
        return content

    async def close(self) -> None:
        """Nothing is open."""


class AsGiven:
    """Leaves the envelope untouched."""

    async def envelope(
        self, work: Work, target: RouteTarget, recipients: Sequence[Leased]
    ) -> Envelope:
        """Return the envelope as the client gave it; see ReturnPaths."""
        return work.envelope(tuple(recipients))

    async def close(self) -> None:
        """Nothing is open."""
