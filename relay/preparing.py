# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an attempt may add to a mail on its way out: a signature, and a return path of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.queue import Leased, Work
from relay.transports import RouteTarget


class Signer(Protocol):
    """Signs mail as its author's domain."""

    async def sign(self, work: Work, target: RouteTarget, content: bytes) -> bytes:
        """Return the content with a signature before it, or as it is.

        Raises what a database or a vault that is away raises; then nothing leaves.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class ReturnPaths(Protocol):
    """Says where failures that come later are told."""

    async def sender(self, work: Work, target: RouteTarget, recipients: Sequence[Leased]) -> str:
        """Return the reverse-path for these recipients of a message; a null one stays null."""
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

    async def sender(self, work: Work, target: RouteTarget, recipients: Sequence[Leased]) -> str:
        """Return the sender's own address; see ReturnPaths."""
        return work.sender
