# SPDX-License-Identifier: AGPL-3.0-or-later
"""Beat's heartbeat: a dead beat cannot raise its own alarm, so smtp and delivery watch it.

A task that only beat sends writes the time to Redis; who watches reads it. A Redis that is away
says nothing about beat; one that answers, but without a heartbeat, says the same as an old one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import cast

import psycopg
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from accounts import alerts
from accounts.redisclient import BACKGROUND_SECONDS, opened
from accounts.vault import KeyGone, VaultError

logger = logging.getLogger(__name__)

KEY = "relay:beat"
LATE = timedelta(minutes=10)
WATCH_SECONDS = 60.0
ALERT = "beat-silent"


def mark(now: datetime) -> None:
    """Write that beat is alive."""
    with _redis() as redis:
        redis.set(KEY, now.isoformat())


class Pulse:
    """What the heartbeats say so far; belongs to one watcher."""

    def __init__(self) -> None:
        self._empty_since: datetime | None = None

    def is_late(self, written: bytes | None, now: datetime) -> bool | None:
        """Whether beat has been silent for LATE; None: it is not known yet."""
        if written is not None:
            self._empty_since = None
            # One from far ahead, of a clock that was put back, says nothing of what came after it.
            return abs(now - datetime.fromisoformat(written.decode())) > LATE
        self._empty_since = self._empty_since or now
        return True if now - self._empty_since > LATE else None

    def forget(self) -> None:
        """Redis was away, so beat could not write: it gets its whole time once more."""
        self._empty_since = None


async def watch(dsn: str, now: Callable[[], datetime], seconds: float = WATCH_SECONDS) -> None:
    """Look at the heartbeat until cancelled; raise the alarm, and resolve it when beat is back."""
    told: bool | None = None
    pulse = Pulse()
    while True:
        await asyncio.sleep(seconds)
        try:
            at = now()
            # In a thread: a cancellation then always comes through.
            late = pulse.is_late(await asyncio.to_thread(_read), at)
            # An alarm may be open from somebody who watched before.
            if late or (late is False and told is not False):
                await _tell(dsn, late)
            told = late
        except RedisError:
            pulse.forget()
        except (OSError, psycopg.Error):
            # Whatever is away has alarms of its own; the next look comes.
            continue
        except (VaultError, KeyGone) as fault:
            # The alarm is a sealed mail as well; the next look tries again.
            logger.critical("heartbeat: the alarm cannot be sealed (%s)", type(fault).__name__)


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
