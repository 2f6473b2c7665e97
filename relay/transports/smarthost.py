# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivers to an organisation's own mail server, over connections that are kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.egress import EgressRefusedError, Guard
from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope
from relay.smtp.handshake import SessionError, Target, Timeouts
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.tls import Contexts
from relay.smtp.transaction import OnDot, Stale
from relay.transports import Loader, RouteTarget

MAX_MESSAGES = 100
MAX_AGE_SECONDS = 300.0
MAX_IDLE_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Kept:
    connection: Connection
    opened_at: float
    expiry: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Pool:
    """Connections to one target. Never shared: other credentials are another target."""

    slots: asyncio.Semaphore
    idle: list[_Kept] = field(default_factory=list)
    users: int = 0


class Smarthost:
    """Transport of one process. Belongs to the event loop that it is used on."""

    def __init__(
        self,
        *,
        ehlo_name: str,
        contexts: Contexts,
        guard: Guard,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ehlo_name = ehlo_name
        self._contexts = contexts
        self._guard = guard
        self._timeouts = timeouts or Timeouts()
        self._clock = clock
        self._pools: dict[RouteTarget, _Pool] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Deliver one message; see Transport."""
        pool = self._pools.setdefault(target, _Pool(asyncio.Semaphore(target.concurrency)))
        pool.users += 1
        try:
            async with pool.slots:
                return await self._send(pool, target, envelope, await content(), on_dot)
        except SessionError as error:
            return [error.outcome] * len(envelope.recipients)
        finally:
            pool.users -= 1
            self._forget_unused(target, pool)

    async def _send(
        self, pool: _Pool, target: RouteTarget, envelope: Envelope, content: bytes, on_dot: OnDot
    ) -> list[Outcome | None]:
        while True:
            kept = self._take(pool) or await self._open(target)
            try:
                outcomes = await kept.connection.send(envelope, content, on_dot)
            except Stale:
                # Nothing was said about this message: the next connection counts as the first.
                continue
            self._give_back(pool, target, kept)
            return outcomes

    async def probe(self, target: RouteTarget) -> Outcome:
        """Connect, encrypt and sign in without sending; DELIVERED means that the route works."""
        try:
            kept = await self._open(target)
        except SessionError as error:
            return error.outcome
        await kept.connection.close()
        return kept.connection.peer.outcome(Verdict.DELIVERED, Scope.ROUTE, "2.0.0", "")

    async def _open(self, target: RouteTarget) -> _Kept:
        """Try the target's addresses in turn. Raises SessionError with what the last one said."""
        try:
            addresses = await self._guard.addresses(target.host, target.port)
        except EgressRefusedError as error:
            raise SessionError(_refused(target, str(error))) from None
        for address in addresses[:-1]:
            try:
                return await self._connect(target, address)
            except SessionError as error:
                # A wrong password is wrong at every address, and each try counts against it.
                if error.outcome.scope is Scope.ROUTE:
                    raise
        return await self._connect(target, addresses[-1])

    async def _connect(self, target: RouteTarget, address: str) -> _Kept:
        connection = await Connection.open(
            Target(
                host=target.host,
                address=address,
                port=target.port,
                tls=target.tls,
                username=target.username,
                password=target.password,
            ),
            ehlo_name=self._ehlo_name,
            contexts=self._contexts,
            timeouts=self._timeouts,
        )
        return _Kept(connection, self._clock())

    def _take(self, pool: _Pool) -> _Kept | None:
        """Return the connection used last: the others can then grow old and go."""
        while pool.idle:
            kept = pool.idle.pop()
            if kept.expiry is not None:
                kept.expiry.cancel()
            if self._worth_keeping(kept):
                return kept
            self._let_go(kept)
        return None

    def _give_back(self, pool: _Pool, target: RouteTarget, kept: _Kept) -> None:
        if self._closed or not self._worth_keeping(kept):
            self._let_go(kept)
            return
        loop = asyncio.get_running_loop()
        kept.expiry = loop.call_later(MAX_IDLE_SECONDS, self._expire, pool, target, kept)
        pool.idle.append(kept)

    def _worth_keeping(self, kept: _Kept) -> bool:
        young = self._clock() - kept.opened_at < MAX_AGE_SECONDS
        return kept.connection.usable and young and kept.connection.sent < MAX_MESSAGES

    def _expire(self, pool: _Pool, target: RouteTarget, kept: _Kept) -> None:
        pool.idle.remove(kept)
        self._let_go(kept)
        self._forget_unused(target, pool)

    def _let_go(self, kept: _Kept) -> None:
        """Say goodbye in the background; nobody waits for another server's QUIT."""
        task = asyncio.get_running_loop().create_task(kept.connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _forget_unused(self, target: RouteTarget, pool: _Pool) -> None:
        if not pool.users and not pool.idle and self._pools.get(target) is pool:
            del self._pools[target]

    async def close(self) -> None:
        """Close what is idle and wait for the goodbyes; what is in use closes after its message."""
        self._closed = True
        for target, pool in list(self._pools.items()):
            while kept := self._take(pool):
                self._let_go(kept)
            self._forget_unused(target, pool)
        await asyncio.gather(*self._closing)


def _refused(target: RouteTarget, text: str) -> Outcome:
    """Waits rather than bounces, because a name without an address may have one tomorrow."""
    return Outcome(
        verdict=Verdict.RETRY,
        scope=Scope.INFRASTRUCTURE,
        enhanced="4.4.4",
        text=text,
        remote_host=target.host,
    )
