# SPDX-License-Identifier: AGPL-3.0-or-later
"""The parent's side: one child, one content at a time."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

from django.conf import settings

from accounts.bounded import environment
from relay.reading import frames
from relay.smtp.reports import LARGEST, Reported

# For a child that stands still; one that computes ends itself much earlier.
PATIENCE_SECONDS = 60.0
# Then another child takes over: what a content left behind in one is gone with it.
CONTENTS_MOST = 200


class Unreadable(Exception):
    """The child gave no answer, and is no more; says nothing about the next content."""


class Reader:
    """Reads reports in a child, which is started with the first one."""

    def __init__(
        self, *, module: str = "relay.reading", patience: float = PATIENCE_SECONDS
    ) -> None:
        self._module = module
        self._patience = patience
        self._child: Process | None = None
        self._contents = 0  # that the child was given
        self._one_at_a_time = asyncio.Lock()

    async def read(self, content: bytes, *, has_sender: bool) -> tuple[Reported, ...]:
        """Return what `reports.read` finds, nothing for what it cannot parse. Raises Unreadable."""
        order = frames.framed(frames.order(content[:LARGEST], has_sender=has_sender))
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(self._patience):
                    return frames.understood(await self._ask(order))
            except (OSError, TimeoutError, EOFError, ValueError):
                await self._end()
                raise Unreadable from None
            except BaseException:
                # Cut off in the middle, its answer would be taken for the next one's.
                await self._end()
                raise

    async def close(self) -> None:
        """End the child."""
        async with self._one_at_a_time:
            await self._end()

    async def _ask(self, order: bytes) -> bytes:
        child = await self._ready()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(order)
        await child.stdin.drain()
        (length,) = frames.LENGTH.unpack(await child.stdout.readexactly(frames.LENGTH.size))
        if length > frames.LARGEST_ANSWER:
            raise ValueError("an answer too large")
        return await child.stdout.readexactly(length)

    async def _ready(self) -> Process:
        is_gone = self._child is not None and self._child.returncode is not None
        if is_gone or self._contents >= CONTENTS_MOST:
            await self._end()
        if self._child is None:
            self._contents = 0
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,  # a traceback may quote what is read
                env=environment("/nonexistent"),  # it writes nothing
                cwd=settings.BASE_DIR,
                start_new_session=True,
            )
        self._contents += 1
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
