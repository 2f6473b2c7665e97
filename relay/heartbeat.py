# SPDX-License-Identifier: AGPL-3.0-or-later
"""Beat's heartbeat: a dead beat cannot raise its own alarm, so smtp and delivery watch it.

A task that only beat sends writes the time to Redis; who watches reads it. A Redis that is away
or was flushed says nothing about beat, and is nobody's alarm here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import psycopg
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from accounts import alerts
from accounts.redisclient import BACKGROUND_SECONDS, opened

KEY = "relay:beat"
LATE = timedelta(minutes=10)
WATCH_SECONDS = 60.0
ALERT = "beat-silent"


def mark(now: datetime) -> None:
    """Write that beat is alive."""
    with _redis() as redis:
        redis.set(KEY, now.isoformat())


def is_late(written: bytes | None, now: datetime) -> bool:
    """Whether the last heartbeat is too old; none at all is not known to be late."""
    return written is not None and now - datetime.fromisoformat(written.decode()) > LATE


async def watch(dsn: str, now: Callable[[], datetime], seconds: float = WATCH_SECONDS) -> None:
    """Look at the heartbeat until cancelled; raise the alarm, and resolve it when beat is back."""
    told: bool | None = None
    while True:
        await asyncio.sleep(seconds)
        try:
            at = now()
            # In a thread: a cancellation then always comes through.
            late = is_late(await asyncio.to_thread(_read), at)
            # An alarm may be open from somebody who watched before.
            if late or told is not False:
                await _tell(dsn, late)
            told = late
        except (RedisError, OSError, psycopg.Error):
            # Whatever is away has alarms of its own; the next look comes.
            continue


def _read() -> bytes | None:
    with _redis() as redis:
        return cast("bytes | None", redis.get(KEY))


def _redis() -> Redis:
    return opened(settings.REDIS_URL, BACKGROUND_SECONDS)


async def _tell(dsn: str, late: bool) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        if late:
            await alerts.raise_alert_on(connection, ALERT)
        else:
            await alerts.resolve_alert_on(connection, ALERT)
