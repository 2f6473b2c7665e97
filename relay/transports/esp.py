# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivers through a provider's HTTP API, in threads, because django-anymail's backends block.

A message needs as many calls as composing.py says; each `send` makes one of them, so that what
became of it is written before the next begins.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

from relay.esp.composing import Parcel, Unfit, compose
from relay.esp.posting import Account, Channel, Said, post
from relay.esp.providers import PROVIDERS
from relay.smtp.envelope import Envelope
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.transaction import OnDot
from relay.transports import Gate, Loader, NotNow, OpenGate, RouteTarget
from relay.transports.seats import Hop, Seat

Found = TypeVar("Found")

PACED = "paced"  # of QueuedDelivery.Reason
# What has waited so long for a thread goes back to the queue.
LINE_SECONDS = 5.0
# An answer that comes in drops is not waited for any longer; its thread ends when it ends.
DEADLINE_SECONDS = 300.0
IDLE_SECONDS = 60.0
MAX_IDLE = 4  # channels that one route keeps


@dataclass(slots=True)
class _Idle:
    """Channels of one account that nobody uses now."""

    channels: deque[Channel] = field(default_factory=deque)
    used_at: float = 0.0

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


class Esp:
    """Transport of one process. Belongs to the event loop that it is used on."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        threads: int,
        gate: Gate | None = None,
        urls: Mapping[str, str] | None = None,
        ca_file: str = "",
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        """`urls` replaces hosts of providers, in development; `ca_file` whom to trust there."""
        self._now = now
        self._places = asyncio.Semaphore(threads)
        self._gate = gate or OpenGate()
        self._urls = urls or {}
        self._ca_file = ca_file
        self._deadline = deadline
        self._idle: dict[RouteTarget, _Idle] = {}
        self._later: dict[UUID, datetime] = {}
        self._hops: dict[UUID, Hop] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(
        self, target: RouteTarget, envelope: Envelope, content: Loader, on_dot: OnDot
    ) -> list[Outcome | None]:
        """Make one call; see Transport."""
        self._demand_turn(target)
        hop = self._hops.get(target.hop) or self._new_hop(target)
        seat = await self._seat(hop, target)
        threads: list[asyncio.Future[Any]] = []
        try:
            parcel = await self._composed(target, envelope, await content(), threads)
            if isinstance(parcel, Unfit):
                return _unfit(target, parcel, len(envelope.recipients))
            await on_dot(parcel.places)
            said = await self._posted(target, parcel, threads)
        finally:
            self._free(hop, seat, threads)
        await self._learn(target, said)
        told: list[Outcome | None] = [None] * len(envelope.recipients)
        for place, outcome in zip(parcel.places, said.outcomes, strict=True):
            told[place] = outcome
        return told

    def _demand_turn(self, target: RouteTarget) -> None:
        until = self._later.get(target.route_id)
        if until is not None and self._now() < until:
            raise NotNow(PACED, until)

    def _new_hop(self, target: RouteTarget) -> Hop:
        forget = partial(self._forget, target.hop)
        self._hops[target.hop] = hop = Hop(self._gate, forget, closing=self._closed)
        return hop

    async def _seat(self, hop: Hop, target: RouteTarget) -> Seat:
        """Wait in the route's own line, then for a thread: no route's line is in another's way.

        Raises NotNow.
        """
        seat = await hop.take(target)
        taken = False
        try:
            await asyncio.wait_for(self._places.acquire(), LINE_SECONDS)
            taken = True
        except TimeoutError:
            raise NotNow from None
        finally:
            if not taken:
                hop.free(seat)
        return seat

    async def _composed(
        self,
        target: RouteTarget,
        envelope: Envelope,
        content: bytes,
        threads: list[asyncio.Future[Any]],
    ) -> Parcel | Unfit:
        # Parsing and encoding of megabytes: the loop must not stand still meanwhile.
        act = partial(compose, content, envelope, PROVIDERS[target.provider])
        threads.append(in_thread(act))
        try:
            return cast(Parcel, await asyncio.shield(threads[-1]))
        except Unfit as unfit:
            return unfit

    async def _posted(
        self, target: RouteTarget, parcel: Parcel, threads: list[asyncio.Future[Any]]
    ) -> Said:
        account, channel = self._account(target), self._channel(target)
        threads.append(in_thread(partial(post, account, parcel, channel)))
        try:
            said = await asyncio.wait_for(asyncio.shield(threads[-1]), self._deadline)
        except TimeoutError:
            return Said([_late(account)] * len(parcel.places), reached=False)
        self._keep(target, channel)
        return cast(Said, said)

    def _account(self, target: RouteTarget) -> Account:
        known = (target.provider, target.password, target.username, target.provider_domain)
        return Account.of(*known, self._urls)

    async def _learn(self, target: RouteTarget, said: Said) -> None:
        if said.later:
            self._later[target.route_id] = self._now() + timedelta(seconds=said.later)
        else:
            self._later.pop(target.route_id, None)
        if said.reached:
            await self._gate.worked(target)
        else:
            await self._gate.failed(target)

    def _channel(self, target: RouteTarget) -> Channel:
        """Return a channel of this very account: none is shared between two."""
        oldest = time.monotonic() - IDLE_SECONDS
        for known in [known for known, idle in self._idle.items() if idle.used_at < oldest]:
            self._idle.pop(known).close()
        idle = self._idle.get(target)
        return idle.channels.pop() if idle and idle.channels else Channel.open(self._ca_file)

    def _keep(self, target: RouteTarget, channel: Channel) -> None:
        idle = self._idle.setdefault(target, _Idle())
        idle.used_at = time.monotonic()
        if self._closed or len(idle.channels) >= MAX_IDLE:
            channel.close()
        else:
            idle.channels.append(channel)

    def _free(self, hop: Hop, seat: Seat, threads: list[asyncio.Future[Any]]) -> None:
        """Give thread and seat back, once no thread works for this call any more."""
        running = [thread for thread in threads if not thread.done()]
        if not running:
            self._places.release()
            hop.free(seat)
            return
        ending = asyncio.create_task(self._free_later(hop, seat, running))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _free_later(self, hop: Hop, seat: Seat, running: list[asyncio.Future[Any]]) -> None:
        await asyncio.gather(*running, return_exceptions=True)
        self._places.release()
        hop.free(seat)

    def _forget(self, name: UUID, hop: Hop) -> None:
        if self._hops.get(name) is hop:
            del self._hops[name]

    async def close(self) -> None:
        """Close idle channels. A thread that still waits for an answer ends with its process."""
        self._closed = True
        for idle in self._idle.values():
            idle.close()
        self._idle.clear()
        for ending in list(self._ending):
            ending.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        for hop in list(self._hops.values()):
            await hop.close()


def in_thread(act: Callable[[], Found]) -> asyncio.Future[Found]:
    """Run a blocking act in a thread that keeps no process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Found] = loop.create_future()

    def run() -> None:
        try:
            tell = partial(future.set_result, act())
        except Exception as fault:  # noqa: BLE001 - raised again where it is awaited
            tell = partial(future.set_exception, fault)
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(lambda: None if future.done() else tell())

    threading.Thread(target=run, name="esp", daemon=True).start()
    return future


def _unfit(target: RouteTarget, unfit: Unfit, count: int) -> list[Outcome | None]:
    outcome = Outcome(
        verdict=Verdict.BOUNCED,
        # The provider's interface is too narrow: that never counts against an address.
        scope=Scope.POLICY,
        enhanced=unfit.enhanced,
        text=unfit.text,
        remote_host=target.provider,
    )
    if unfit.place is None:
        return [outcome] * count
    return [outcome if place == unfit.place else None for place in range(count)]


def _late(account: Account) -> Outcome:
    return Outcome(
        verdict=Verdict.RETRY,
        scope=Scope.INFRASTRUCTURE,
        enhanced="4.4.2",
        text="the provider's answer does not end",
        remote_host=account.host,
        after_dot=True,
    )
