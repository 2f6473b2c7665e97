# SPDX-License-Identifier: AGPL-3.0-or-later
"""Group commit: whatever arrives while one batch is being written forms the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class Stopped(Exception):
    """The group no longer takes anything in."""


class GroupCommit(Generic[Item]):
    """Hands waiting items to `write` together, one call at a time, and each its own result.

    `write` returns one result per item, in order; a result that is an exception is raised to that
    item's submitter, and what `write` raises to all of them. A batch has at most `most` items and
    stops growing at `capacity`, counted by `weigh` (octets, for messages).

    What nobody is waiting for may be `patient`: it is held back until `enough` of it is there, or
    `patience` (seconds) after the first, and then goes with the next batch.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Any]]],
        *,
        most: int,
        weigh: Callable[[Item], int] = lambda item: 0,
        capacity: int = 1,
        patience: float = 0.0,
        enough: int = 1,
    ) -> None:
        self._write = write
        self._most = most
        self._weigh = weigh
        self._capacity = capacity
        self._patience = patience
        self._enough = enough
        self._waiting: deque[tuple[Item, asyncio.Future[Any]]] = deque()
        self._patient: list[tuple[Item, asyncio.Future[Any]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what waits and end; items that come later get Stopped."""
        self._stopping = True
        self._ripen()
        if self._task:
            with suppress(asyncio.CancelledError):
                await self._task

    def submit(self, item: Item, *, patient: bool = False) -> asyncio.Future[Any]:
        """Put an item into a batch; the future carries its result. Raises Stopped.

        Cancelling the future takes the item back, unless it is being written already.
        """
        if self._stopping:
            raise Stopped
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not patient:
            self._waiting.append((item, future))
            self._arrived.set()
            return future
        self._patient.append((item, future))
        if len(self._patient) >= self._enough:
            self._ripen()
        elif self._timer is None:
            self._timer = loop.call_later(self._patience, self._ripen)
        return future

    def _ripen(self) -> None:
        """Let what was held back go with the next batch."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.extend(self._patient)
        self._patient.clear()
        self._arrived.set()

    async def _run(self) -> None:
        while self._waiting or not self._stopping:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                if batch := self._take():
                    await self._write_one(batch)

    def _take(self) -> list[tuple[Item, asyncio.Future[Any]]]:
        batch: list[tuple[Item, asyncio.Future[Any]]] = []
        weight = 0
        while self._waiting and len(batch) < self._most and weight < self._capacity:
            item, future = self._waiting.popleft()
            # Nobody waits for it any more, so it must not happen behind their back.
            if not future.cancelled():
                batch.append((item, future))
                weight += self._weigh(item)
        return batch

    async def _write_one(self, batch: list[tuple[Item, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except Exception as fault:  # noqa: BLE001 - whoever submitted decides what a fault means
            results = [fault] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            _settle(future, result)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    # A submitter that was cancelled in the meantime no longer listens.
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        # Nobody may be waiting for it any more; that is not a fault of its own.
        future.exception()
    else:
        future.set_result(result)
