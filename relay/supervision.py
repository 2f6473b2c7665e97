# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keeps what runs beside the mail going: a watch that ended unseen would watch nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

ENDED = "watch-ended"  # the alert's kind; its subject names what ended
AGAIN_SECONDS = 1.0


async def kept_going(
    name: str,
    act: Callable[[], Awaitable[None]],
    alert: Callable[[str, str], Awaitable[None]],
) -> None:
    """Run `act` until it returns or is cancelled; after a fault tell the operator and begin again.

    `alert` takes kind and subject, and may fail.
    """
    while True:
        try:
            return await act()
        except Exception as fault:  # noqa: BLE001 - whatever it is, the watch goes on
            logger.error("supervision: %s ended (%s)", name, type(fault).__name__)
        with suppress(Exception):
            await alert(ENDED, name)
        await asyncio.sleep(AGAIN_SECONDS)
