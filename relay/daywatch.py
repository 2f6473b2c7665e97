# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looks for tomorrow's partition from the mail path: the upkeep that makes it may be what is down.

Mail of a day without one is answered 451 (relay/queue/store.py); the alarm comes in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg

from accounts import alerts
from accounts.vault import KeyGone, VaultError
from relay.partitions import DAY_MISSING
from relay.queue import CONNECT_SECONDS

logger = logging.getLogger(__name__)

WATCH_SECONDS = 600.0


async def watch_tomorrow(
    dsn: str, now: Callable[[], datetime], seconds: float = WATCH_SECONDS
) -> None:
    """Raise the alarm while tomorrow (UTC) has no partition, until cancelled.

    The upkeep resolves it, for it looks at every day.
    """
    while True:
        try:
            async with asyncio.timeout(seconds):
                await _look(dsn, now() + timedelta(days=1))
        except (psycopg.Error, OSError) as fault:  # TimeoutError is an OSError
            # Whatever is away has alarms of its own; the next look comes.
            logger.warning("daywatch: not looked (%s)", type(fault).__name__)
        except (VaultError, KeyGone) as fault:
            # The alarm is a sealed mail as well; the next look tries again.
            logger.critical("daywatch: the alarm cannot be sealed (%s)", type(fault).__name__)
        await asyncio.sleep(seconds)


async def _look(dsn: str, day: datetime) -> None:
    async with await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_SECONDS
    ) as connection:
        # Names alone: the mail path needs no grant on a partition.
        name = f"relay_message_{day:%Y%m%d}"
        cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [name])
        row = await cursor.fetchone()
        if row and row[0]:
            logger.critical("daywatch: the log has no partition for tomorrow")
            await alerts.raise_alert_on(connection, DAY_MISSING)
