# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a message leaves: one small protocol, one module per kind of route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid5

from relay.smtp.envelope import Envelope
from relay.smtp.replies import Outcome
from relay.smtp.tls import TlsPolicy
from relay.smtp.transaction import OnDot

# Reads and opens the content: what waits for a connection must not hold it.
Loader = Callable[[], Awaitable[bytes]]

# The namespace of next hops that no route stands for: the domains that mail is delivered to.
HOP = UUID("6b1c6c6e-8d0a-4f0e-9d51-0f0a5b7c2e41")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTarget:
    """Where and how a route delivers: what a transport needs of a Route, without the ORM.

    Connections are shared between equal targets only, so a changed secret never meets an old one.
    """

    route_id: UUID
    version: int = 0  # of the route: new with each change of how it is reached
    kind: str = "own"  # of Route.Kind
    host: str = ""  # empty but for an own server
    port: int = 0
    # Where mail is delivered to without a server between: the recipients' domain, as A-label.
    destination: str = ""
    provider: str = ""  # of Route.Provider
    provider_domain: str = ""
    tls: TlsPolicy = TlsPolicy.STARTTLS
    username: str = ""
    password: str = field(default="", repr=False)
    concurrency: int = field(default=10, compare=False)
    rate: int | None = field(default=None, compare=False)  # messages a minute
    # Whether connections failed of late: then a success has to be written down.
    is_failing: bool = field(default=False, compare=False)
    # Whether it is written down that it works: then only a failure is news.
    is_proven: bool = field(default=False, compare=False)
    is_demanded: bool = False  # by the message, beyond what the route itself asks for
    waives: bool = False  # whether the sender waives what the recipient's domain asks (RFC 8689)
    # A value of TlsDemand for the log; empty for what `tls` asks.
    demand: str = ""
    patterns: tuple[str, ...] = ()  # names that the recipient's domain demands (RFC 8461 §4.1)

    @property
    def hop(self) -> UUID:
        """Whose connections are counted together: the route's, or those to one destination."""
        return uuid5(HOP, self.destination) if self.destination else self.route_id

    def demanding_tls(self) -> RouteTarget:
        """Return this target, or one with verified TLS where the route could do without."""
        if self.tls in (TlsPolicy.IMPLICIT, TlsPolicy.STARTTLS):
            return self
        return replace(self, tls=TlsPolicy.STARTTLS, is_demanded=True)

    def to(self, destination: str) -> RouteTarget:
        """Return this target for one domain, as A-label."""
        return replace(self, destination=destination)

    def serves(self, other: RouteTarget) -> bool:
        """Whether a connection that was opened for this target may carry another's mail."""
        return self is other or self == other or self == other.demanding_tls()


class NotNow(Exception):
    """The next hop takes no more for now; nothing was tried, and no try is counted.

    `until`: when to ask again; None: once a connection is free. `reason`: a value of
    QueuedDelivery.Reason; empty leaves the one that is there.
    """

    def __init__(self, reason: str = "", until: datetime | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.until = until


@dataclass(slots=True, eq=False)
class Permit:
    """The right to one connection to a next hop, from before it is opened until it is closed."""

    number: int = 0
    is_lost: bool = False  # somebody else may have it by now


class Gate(Protocol):
    """What the processes that use a next hop agree on. Nothing of it is asked per message."""

    async def take(self, target: RouteTarget) -> Permit | None:
        """Return a permit for one more connection, None when all are taken. Raises NotNow."""
        ...

    async def give(self, permit: Permit) -> None:
        """Take a permit back, once the connection is closed."""
        ...

    async def failed(self, target: RouteTarget) -> datetime | None:
        """Count a connection that failed; returns until when the hop is left alone, if it is."""
        ...

    async def worked(self, target: RouteTarget) -> None:
        """Note that the hop answers."""
        ...


class OpenGate:
    """For a process that shares its next hops with no other."""

    async def take(self, target: RouteTarget) -> Permit | None:
        return Permit()

    async def give(self, permit: Permit) -> None:
        pass

    async def failed(self, target: RouteTarget) -> datetime | None:
        return None

    async def worked(self, target: RouteTarget) -> None:
        pass


class Transport(Protocol):
    """Delivers one message to the recipients of one route."""

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Return one outcome per envelope recipient, in their order; never raises for the remote.

        None: the server takes this recipient in another transaction; send again to those alone,
        once the other outcomes are written. ``content`` is awaited when it is the message's turn
        to use a connection, ``on_dot`` before the final dot leaves, with the places in the envelope
        of those it is for. What they raise passes through, and then no dot was sent. Raises NotNow
        when it is not its turn for long.
        """
        ...

    async def close(self) -> None:
        """Close idle connections politely; those in use close when their message is done."""
        ...
