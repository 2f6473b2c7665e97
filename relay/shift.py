# SPDX-License-Identifier: AGPL-3.0-or-later
"""A shift: one event loop that claims mail and carries it, until told to stop or old.

A shift holds one of a few slots (advisory locks); one that finds none free leaves at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import SystemRandom
from typing import Any
from uuid import UUID

import psycopg
import uvloop
from django.conf import settings

from accounts import clock
from relay import heartbeat, resolving
from relay.backoff import Backoff
from relay.delivery import Courier, Job
from relay.egress import guard_from_settings
from relay.limits import SharedCounters
from relay.metering import Metering
from relay.notices import NoticeLimit
from relay.outbound import sharing_transport, world_from_settings
from relay.pacing import Pace
from relay.permits import Permits
from relay.queue import (
    LEASE,
    Ask,
    Claimed,
    HotConnection,
    Leases,
    Refused,
    Sealer,
    TookTooLong,
    Work,
    conninfo,
    keyring_directory,
)
from relay.restraints import Restraints
from relay.returning import Returning
from relay.routing import Routes
from relay.signing import DomainSigner
from relay.smtp.tls import make_contexts
from relay.supervision import allow_files, carry_lightly, kept_going
from relay.transports import Transport
from relay.turns import PLACES, Turn, Turns
from relay.wake import POLL_SECONDS, WakeListener

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 600.0
DRAIN_SECONDS = 720.0
# Told to stop, what is between MAIL and dot gets this long; the rest goes back unsent.
STOP_SECONDS = 5.0
WATCH_SECONDS = 0.2
RENEW_SECONDS = LEASE.total_seconds() / 4
# Turns without a usable route are looked at so often, and so many of them at once.
SHUT_SECONDS = 1.0
SHUT_MOST = 100
# New mail that comes within this of the first is claimed with it.
GATHER_SECONDS = 0.003
UNREADABLE = "mail-unreadable"  # the alert's kind
# A next hop that is full is asked again after this long.
FULL_SECONDS = 2.0
# Each delivery may go to a domain of its own: two questions to name servers, and a connection.
FILES_OF_ONE = 3
SLOT_CLASS = 0x42726576  # the advisory locks of shifts, apart from any other


class Slot:
    """One of `count` places for shifts, held by an advisory lock on a connection of its own."""

    def __init__(self, dsn: str, count: int) -> None:
        self._connection = HotConnection(dsn)
        self._count = count
        self._backend = 0

    async def take(self) -> bool:
        """Whether a place is held now, the one from before or a new one. Raises psycopg.Error."""
        async with self._connection.use() as connection:
            backend = connection.info.backend_pid
            if backend == self._backend:
                await connection.execute("SELECT 1")
                return True
            for number in range(self._count):
                if await _try_lock(connection, number):
                    self._backend = backend
                    return True
        return False

    async def leave(self) -> None:
        """Give the place up; the lock goes with the connection."""
        self._backend = 0
        await self._connection.close()


async def _try_lock(connection: psycopg.AsyncConnection[Any], number: int) -> bool:
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(%s::int, %s::int)", [SLOT_CLASS, number]
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


@dataclass(slots=True, kw_only=True)
class Shift:
    """Runs until `stop()` says so, or until it is old and `hand_over()` found a successor.

    `hand_over` returns whether another shift was asked for; without one this shift goes on.
    """

    courier: Courier
    permits: Permits
    slot: Slot
    stop: Callable[[], bool]
    hand_over: Callable[[], bool]
    claim_seconds: float = CLAIM_SECONDS
    drain_seconds: float = DRAIN_SECONDS
    stop_seconds: float = STOP_SECONDS
    turns: Turns = field(default_factory=lambda: Turns(SystemRandom().random))
    _jobs: dict[asyncio.Task[None], Job] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _round_at: float = 0.0  # when to look at everybody, by the loop's clock
    _closing: bool = False
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self, organisations: Collection[UUID]) -> None:
        """Look for these organisations' mail now."""
        self.turns.call(organisations)
        self._news.set()

    async def run(self) -> None:
        """Take a slot, carry mail, drain. Returns at once when no slot is free."""
        if not await self.slot.take():
            await self.slot.leave()
            return
        await self.courier.leases.start()
        helpers = [
            asyncio.create_task(kept_going(name, act, self.courier.leases.alert))
            for name, act in self._helpers()
        ]
        try:
            await self._claim()
            # The successor can begin while this shift finishes what it has.
            await self.slot.leave()
            await self._drain()
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            # A database that is away must not keep the shift from its end.
            self.courier.leases.leave()
            self.permits.leave()
            await self._hand_back()
            await self.courier.close()
            await self.permits.close()
            await self.slot.leave()

    def _helpers(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        yield "shift", self._watch
        yield "leases", self._renew
        yield "delays", self.courier.tell_delays
        yield "routes", self._look_at_routes
        yield "permits", self.permits.keep

    async def _claim(self) -> None:
        while not self._closing:
            self._news.clear()
            ask = self._ask()
            # A full shift waits as well: the loop must come to the jobs that make room.
            if ask is None or not await self._take(ask):
                await self._wait_for_news()

    def _ask(self) -> Ask | None:
        """Everybody each second: what is called for, or known to wait, comes in between."""
        now = asyncio.get_running_loop().time()
        if now < self._round_at and not self.turns.in_round:
            return self.turns.ask_known()
        self._round_at = now + POLL_SECONDS
        return self.turns.ask()

    async def _take(self, ask: Ask) -> bool:
        """Claim and begin; returns whether to go on at once. Never raises for the mail."""
        try:
            claimed = await self._claimed(ask)
            for work in claimed.works:
                self._begin(work)
            self.turns.learn(claimed)
            if claimed.broken:
                await self._put_off(self.courier.leases.put_off(claimed.broken))
            return self.turns.goes_on
        except TookTooLong:
            # Nothing is wrong with the mail, so none of it is struck.
            return False
        except Exception as fault:  # noqa: BLE001 - the shift carries everybody's mail
            logger.error("shift: a claim failed: %s", type(fault).__name__)
            # Once it is for one delivery alone, that one is what nobody can claim.
            if self.turns.refused():
                return await self._put_off(self.courier.leases.put_off_next(ask))
            return True

    async def _put_off(self, struck: Coroutine[Any, Any, None]) -> bool:
        """Put mail off that cannot be read, and tell the operator; returns whether that went."""
        try:
            await struck
        except Refused:
            return False
        await self.courier.leases.alert(UNREADABLE, "")
        return True

    async def _claimed(self, ask: Ask) -> Claimed:
        """Claim, but do not wait for an absent database once told to stop."""
        claim = asyncio.create_task(self.courier.leases.claim(ask))
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({claim, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not claim.done():
            claim.cancel()
            return Claimed(works=())
        return await claim

    async def _wait_for_news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._round_at):
                await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)

    def _begin(self, work: Work) -> None:
        job, turn = Job(work), (work.organisation_id, work.domain)
        task = asyncio.create_task(self._carry(job))
        self._jobs[task] = job
        self.turns.begin(turn, len(work.deliveries))
        task.add_done_callback(partial(self._done, turn, len(work.deliveries)))

    async def _carry(self, job: Job) -> None:
        try:
            if await self.courier.carry(job):
                self.wake([job.work.organisation_id])
            if job.is_shut_out:
                self.turns.shut((job.work.organisation_id, job.work.domain))
        except Exception as fault:  # noqa: BLE001 - one message must not end the shift
            # The lease runs out by itself; whether the dot left is in the row.
            logger.error("shift: message %s: %s", job.work.message_id, type(fault).__name__)

    def _done(self, turn: Turn, count: int, task: asyncio.Task[None]) -> None:
        job = self._jobs.pop(task)
        if job.not_now is not None:
            # A rest or a full minute has an end of its own, which a look at the route tells.
            self.turns.put_back(turn, count, 0.0 if job.not_now.until else FULL_SECONDS)
        elif self.turns.end(turn, count):
            self._news.set()

    async def _watch(self) -> None:
        """Notice the stop signal, old age, and a slot that was lost with its connection."""
        loop = asyncio.get_running_loop()
        old_at, looked_at = loop.time() + self.claim_seconds, loop.time()
        while not self._stopped.is_set():
            await asyncio.sleep(WATCH_SECONDS)
            if self.stop():
                self._stopped.set()
                self._close()
            elif loop.time() >= old_at and not self._closing:
                if await asyncio.to_thread(self.hand_over):
                    self._close()
                else:
                    old_at = loop.time() + POLL_SECONDS * 30
            elif loop.time() - looked_at > POLL_SECONDS and not self._closing:
                looked_at = loop.time()
                await self._keep_slot()

    async def _keep_slot(self) -> None:
        try:
            if not await self.slot.take():
                self._close()
        except (psycopg.Error, OSError):
            # The database is away: nothing can be claimed meanwhile, by anybody.
            return

    def _close(self) -> None:
        self._closing = True
        self._news.set()

    async def _renew(self) -> None:
        """Keep the leases of everything in hand for as long as this process lives."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            works = [*(job.work for job in self._jobs.values()), *self.courier.telling]
            # One statement takes them all, unless one of them cannot be renewed.
            renewals = (self.courier.leases.renew(work.deliveries) for work in works)
            found = await asyncio.gather(*renewals, return_exceptions=True)
            for fault in found:
                if isinstance(fault, BaseException):
                    raise fault

    async def _look_at_routes(self) -> None:
        """Take mail again that had nowhere to go, once it has."""
        while True:
            await asyncio.sleep(SHUT_SECONDS)
            for turn in self.turns.next_shut(SHUT_MOST):
                if await self.courier.routes.is_open(*turn):
                    self.turns.reopen(turn)
                    self.wake([turn[0]])

    async def _drain(self) -> None:
        """Let what is in hand come to its end, less patiently once told to stop."""
        patience = asyncio.get_running_loop().time() + self.drain_seconds
        while self._jobs and not self._stopped.is_set():
            if asyncio.get_running_loop().time() >= patience:
                return
            await asyncio.wait(list(self._jobs), timeout=WATCH_SECONDS)
        if self._jobs:
            await asyncio.wait(list(self._jobs), timeout=self.stop_seconds)

    async def _hand_back(self) -> None:
        """Cut off what is still on its way; what certainly did not leave goes back unsent."""
        jobs = dict(self._jobs)
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        unsent = tuple(
            lease
            for job in jobs.values()
            for lease in job.work.deliveries
            if lease.id not in job.sent
        )
        if unsent:
            # What cannot be released runs out with its lease.
            with suppress(Refused):
                await self.courier.leases.release(unsent)


def open_shift(slot: Slot, *, stop: Callable[[], bool], hand_over: Callable[[], bool]) -> Shift:
    """Build a shift from the settings of this process. Raises OSError when a file is missing."""
    dsn = conninfo()
    routes, resolver = Routes(dsn, clock.now), resolving.from_settings()
    guard = guard_from_settings(resolver, refusal_seconds=0)
    contexts = make_contexts(settings.RELAY_CA_FILE)
    permits, transport = sharing_transport(
        dsn,
        routes,
        ehlo_name=settings.RELAY_HOSTNAME,
        contexts=contexts,
        guard=guard,
        world=world_from_settings(dsn, guard, resolver, contexts),
    )
    courier = _courier(dsn, routes, transport)
    return Shift(courier=courier, permits=permits, slot=slot, stop=stop, hand_over=hand_over)


def _courier(dsn: str, routes: Routes, transport: Transport) -> Courier:
    sealer = Sealer(keyring_directory())
    return Courier(
        leases=Leases(dsn, sealer, clock.now),
        routes=routes,
        transport=transport,
        pace=Pace(SharedCounters(settings.REDIS_URL), clock.now),
        metering=Metering(dsn, SharedCounters(settings.REDIS_URL), clock.now),
        restraints=Restraints(dsn, clock.now),
        sealer=sealer,
        backoff=Backoff(dsn, clock.now),
        now=clock.now,
        random=SystemRandom().random,
        hostname=settings.RELAY_HOSTNAME,
        signer=DomainSigner(dsn, clock.now),
        limit=NoticeLimit(SharedCounters(settings.REDIS_URL), clock.now),
        paths=Returning(dsn, settings.RELAY_BOUNCE_DOMAIN, clock.now),
    )


async def work(shift: Shift) -> None:
    """Run a shift that new mail wakes, and that watches beat meanwhile."""
    listener = WakeListener(settings.REDIS_URL, shift.wake)
    listener.start()
    watch = asyncio.create_task(
        kept_going(
            "heartbeat",
            lambda: heartbeat.watch(conninfo(), clock.now),
            shift.courier.leases.alert,
        )
    )
    try:
        await shift.run()
    finally:
        watch.cancel()
        await asyncio.wait({watch}, timeout=1)
        await listener.stop()


def work_a_shift(*, stop: Callable[[], bool], hand_over: Callable[[], bool]) -> None:
    """Work one shift in this thread, to its end; ends at once when every slot is taken."""

    async def whole() -> None:
        slot = Slot(conninfo(), settings.RELAY_SHIFTS)
        try:
            # The slot first: beat sends a surplus shift every two seconds; trust stores are slow.
            if await slot.take():
                allow_files(PLACES * FILES_OF_ONE)
                await work(open_shift(slot, stop=stop, hand_over=hand_over))
        finally:
            await slot.leave()

    carry_lightly()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())
