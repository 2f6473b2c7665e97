# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a message leaves: one small protocol, one module per kind of route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from relay.smtp.envelope import Envelope
from relay.smtp.replies import Outcome
from relay.smtp.tls import TlsPolicy
from relay.smtp.transaction import OnDot

# Reads and opens the content: what waits for a connection must not hold it.
Loader = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTarget:
    """Where and how a route delivers: what a transport needs of a Route, without the ORM.

    Connections are shared between equal targets only, so a changed secret never meets an old one.
    """

    route_id: UUID
    version: int = 0  # of the route: new with each change of how it is reached
    host: str
    port: int
    tls: TlsPolicy = TlsPolicy.STARTTLS
    username: str = ""
    password: str = field(default="", repr=False)
    concurrency: int = 10


class Transport(Protocol):
    """Delivers one message to the recipients of one route."""

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Return one outcome per envelope recipient, in their order; never raises for the remote.

        None: the server takes this recipient in another transaction; send again to those alone,
        once the other outcomes are written. ``content`` is awaited when it is the message's turn
        to use a connection, ``on_dot`` before the final dot leaves. What they raise passes
        through, and then no dot was sent.
        """
        ...

    async def close(self) -> None:
        """Close idle connections politely; those in use close when their message is done."""
        ...
