# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the processes that carry mail do beside it: watches kept going, garbage left alone, files.

A watch that ended unseen would watch nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

ENDED = "watch-ended"  # the alert's kind; its subject names what ended
AGAIN_SECONDS = 1.0
# Objects more than went since the last look. A message makes some hundred, nearly all of which go
# without a look, so that the interpreter's 700 has it search all the time for next to nothing.
GARBAGE_AFTER = 20_000
# Octets; a block of more is the system's again as soon as it is free (mallopt(3)). Otherwise glibc
# keeps the memory of large mail for good once the first of it has gone.
_M_MMAP_THRESHOLD = -3
BLOCK_MOST = 1024 * 1024
FILES_BESIDE = 128  # sockets of the listeners, the database and Redis, keys, and those closing


def carry_lightly() -> None:
    """Set up this process's memory for mail: search rarely for cycles, give large blocks back."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, BLOCK_MOST)


def allow_files(connections: int) -> None:
    """Raise what the system lets this process open to what so many connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_BESIDE
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        logger.warning("supervision: %d open files are allowed, %d would be needed", most, wanted)


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
