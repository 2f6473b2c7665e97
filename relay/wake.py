# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waking who sends mail when some was stored, and whose, over Redis. Losing it costs a second.

A shift also looks every POLL_SECONDS by itself, so nothing here ever needs to succeed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.redisclient import BACKGROUND_SECONDS, opened_async

logger = logging.getLogger(__name__)

CHANNEL = "relay:wake"
POLL_SECONDS = 1.0
# However much is stored, a call goes out no more often than this.
GAP_SECONDS = 0.02
AGAIN_SECONDS = 1.0


def _organisations(octets: bytes) -> list[UUID]:
    whole = len(octets) // 16 * 16
    return [UUID(bytes=octets[start : start + 16]) for start in range(0, whole, 16)]


class _Task:
    """A background task over one connection that is opened again after any fault."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        # The Redis client can swallow a cancellation that meets it while it waits.
        self._leaving = True
        while self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)

    async def _run(self) -> None:
        while not self._leaving:
            try:
                async with opened_async(self._url, BACKGROUND_SECONDS) as redis:
                    await self._serve(redis)
            except (RedisError, OSError) as fault:
                logger.debug("wake: Redis is away (%s)", type(fault).__name__)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _serve(self, redis: Redis) -> None:
        raise NotImplementedError


class WakeCaller(_Task):
    """Called after each commit of a store; never blocks and never fails."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._called = asyncio.Event()
        self._named: set[UUID] = set()

    def call(self, organisations: Collection[UUID]) -> None:
        self._named.update(organisations)
        self._called.set()

    async def _serve(self, redis: Redis) -> None:
        while not self._leaving:
            await self._called.wait()
            self._called.clear()
            named, self._named = self._named, set()
            await redis.publish(CHANNEL, b"".join(one.bytes for one in named))
            await asyncio.sleep(GAP_SECONDS)


class WakeListener(_Task):
    """Calls `woken` at each call of a WakeCaller."""

    def __init__(self, url: str, woken: Callable[[Collection[UUID]], None]) -> None:
        super().__init__(url)
        self._woken = woken

    async def _serve(self, redis: Redis) -> None:
        async with redis.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            while not self._leaving:
                if call := await channel.get_message(
                    ignore_subscribe_messages=True, timeout=POLL_SECONDS
                ):
                    self._woken(_organisations(call["data"]))
