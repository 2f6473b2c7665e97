# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telling delivery that new mail is committed: a hint over Redis that may be lost without harm."""

from __future__ import annotations

import asyncio

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

    def ring(self) -> None:
        """Mail is waiting."""
        self._rung.set()

    async def run(self) -> None:
        """Pass the rings on until cancelled. Without Redis the shift looks for itself, later."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                await self._redis.publish(CHANNEL, b"")
            except (RedisError, OSError):
                await asyncio.sleep(_SILENCE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Drop the connection."""
        await self._redis.aclose()
