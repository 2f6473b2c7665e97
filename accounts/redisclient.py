# SPDX-License-Identifier: AGPL-3.0-or-later
"""Connections to Redis that give up soon and try once: whoever asks has another way on."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

# A person or a client waits for the answer, which takes Redis milliseconds.
ANSWER_SECONDS = 0.5
# Nobody waits: a background task, which comes again.
BACKGROUND_SECONDS = 3.0


def opened(url: str, seconds: float) -> Redis:
    """Return a client that waits this long to connect and for each answer."""
    return Redis.from_url(url, **_patience(seconds), retry=Retry(NoBackoff(), 0))


def opened_async(url: str, seconds: float) -> AsyncRedis:
    """The same for a running event loop."""
    return AsyncRedis.from_url(url, **_patience(seconds), retry=AsyncRetry(NoBackoff(), 0))


def _patience(seconds: float) -> dict[str, Any]:
    return {"socket_timeout": seconds, "socket_connect_timeout": seconds}
