# SPDX-License-Identifier: AGPL-3.0-or-later
"""The bell between who stores mail and who sends it, over Redis. Losing it costs a second.

A shift also looks every POLL_SECONDS by itself, so nothing here ever needs to succeed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

CHANNEL = "relay:wake"
POLL_SECONDS = 1.0
# However much is stored, the bell rings no more often than this.
GAP_SECONDS = 0.02
AGAIN_SECONDS = 1.0
PATIENCE_SECONDS = 3.0


def _client(url: str) -> Redis:
    return Redis.from_url(
        url, socket_connect_timeout=PATIENCE_SECONDS, socket_timeout=PATIENCE_SECONDS
    )


class Bell:
    """Rung after each commit of a store; never blocks and never fails."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        # The Redis client can swallow a cancellation that meets it while it connects.
        while self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=0.1)

    def ring(self) -> None:
        self._rung.set()

    async def _run(self) -> None:
        async with _client(self._url) as redis:
            while True:
                await self._rung.wait()
                self._rung.clear()
                try:
                    await redis.publish(CHANNEL, "")
                except (RedisError, OSError) as fault:
                    log.debug("wake: not rung (%s)", type(fault).__name__)
                    await asyncio.sleep(AGAIN_SECONDS)
                await asyncio.sleep(GAP_SECONDS)


async def listen(url: str, rung: Callable[[], None]) -> None:
    """Call `rung` whenever the bell rings, until cancelled; comes back after any fault."""
    while True:
        try:
            async with _client(url) as redis, redis.pubsub() as channel:
                await channel.subscribe(CHANNEL)
                while True:
                    if await channel.get_message(ignore_subscribe_messages=True, timeout=1.0):
                        rung()
        except (RedisError, OSError) as fault:
            log.debug("wake: not heard (%s)", type(fault).__name__)
            await asyncio.sleep(AGAIN_SECONDS)
