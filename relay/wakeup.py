# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telling delivery that new mail is committed: a hint over Redis that may be lost without harm."""

from __future__ import annotations

import asyncio
import contextlib

import redis.asyncio
from redis.exceptions import RedisError

CHANNEL = "relay:wake"
# One hint for everything that was committed meanwhile.
_PAUSE_SECONDS = 0.01
_PATIENCE_SECONDS = 0.5
_SILENCE_SECONDS = 2.0


class Bell:
    """Rings for whoever subscribes to CHANNEL. `ring` costs nothing and never waits."""

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=_PATIENCE_SECONDS, socket_connect_timeout=_PATIENCE_SECONDS
        )
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Mail is waiting."""
        self._rung.set()

    def start(self) -> None:
        """Begin to pass rings on; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ring no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._redis.aclose()

    async def _run(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._redis.publish(CHANNEL, b"")
            except (RedisError, OSError):
                # The shift looks for itself, only later.
                await asyncio.sleep(_SILENCE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)
