# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may use a connection to a next hop, and who waits for one.

A seat is a permit with, once it is opened, a connection. It goes from message to message; the
gate is asked only when a seat more is wanted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from relay.smtp.client import Connection
from relay.transports import Gate, NotNow, Permit, RouteTarget

logger = logging.getLogger(__name__)

MAX_MESSAGES = 100
MAX_AGE_SECONDS = 300.0
MAX_IDLE_SECONDS = 30.0
# What has waited so long for a seat goes back to the queue: another worker may have one.
LINE_SECONDS = 5.0
# So often the line is looked at, and a permit asked for again after a refusal.
LOOK_SECONDS = 1.0
# A seat that was idle so long is not missed when somebody else asks for it.
SPARE_SECONDS = 1.0
# A server that takes no more connections than it has is not asked for more meanwhile.
ENOUGH_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Seat:
    permit: Permit
    connection: Connection | None = None
    target: RouteTarget | None = None  # what the connection was opened for
    opened_at: float = 0.0
    idle_at: float = 0.0
    expiry: asyncio.TimerHandle | None = None

    def open_for(self, target: RouteTarget) -> bool:
        """Whether there is a connection, and it may carry the target's mail."""
        if self.connection is None or self.target is None:
            return False
        return self.target.serves(target)


class Hop:
    """The seats that this process has at one next hop. Belongs to one event loop."""

    def __init__(
        self,
        gate: Gate,
        forget: Callable[[Hop], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        closing: bool = False,
        line_seconds: float | None = None,
    ) -> None:
        """`forget` is called whenever nothing is left here; `closing`: nothing is kept.

        `line_seconds`: how long one waits for a seat, if not LINE_SECONDS.
        """
        self._gate = gate
        self._forget = forget
        self._clock = clock
        self._target: RouteTarget | None = None  # as it was asked for last
        self._seats: set[Seat] = set()
        self._idle: list[Seat] = []
        self._line: deque[tuple[float, asyncio.Future[Seat]]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._ask_at = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._going = 0  # seats whose goodbye is being said
        self._closing = closing
        self._line_seconds = line_seconds

    async def take(self, target: RouteTarget) -> Seat:
        """Wait for a seat. Raises NotNow when there is none for long, or nobody gets one."""
        self._target = target
        while self._idle:
            # The one used last: the others can then grow old and go.
            seat = self._wake(self._idle[-1])
            if self._keeps(seat) and seat.open_for(target):
                return seat
            self._dismiss(seat)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Seat] = loop.create_future()
        self._line.append((loop.time(), waiter))
        self._ask()
        if self._look is None:
            self._look = loop.call_later(LOOK_SECONDS, self._look_along)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.free(waiter.result())
            raise

    def free(self, seat: Seat) -> None:
        """Pass the seat on to whoever is next in line, or keep it for later, or give it up."""
        if not self._keeps(seat):
            self._dismiss(seat)
        elif not self._pass_on(seat):
            if seat.connection is None or self._closing:
                self._dismiss(seat)
            else:
                self._rest(seat)

    def turn_away(self, reason: NotNow) -> None:
        """Send home everybody who waits."""
        while self._line:
            _, waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_exception(NotNow(reason.reason, reason.until))

    def has_another(self, seat: Seat) -> bool:
        """Whether the server keeps up any other connection."""
        return any(
            one.connection is not None and one.connection.usable
            for one in self._seats
            if one is not seat
        )

    def has_enough(self) -> None:
        """Open no more connections for a while."""
        self._ask_at = asyncio.get_running_loop().time() + ENOUGH_SECONDS

    @property
    def idle_at(self) -> float | None:
        """Since when its oldest idle seat is idle."""
        return self._idle[0].idle_at if self._idle else None

    def let_go(self, seconds: float = SPARE_SECONDS) -> None:
        """Give up the seats that nobody used for so long."""
        before = asyncio.get_running_loop().time() - seconds
        for seat in [one for one in self._idle if one.idle_at <= before]:
            self._dismiss(self._wake(seat))

    async def close(self) -> None:
        """Give up what is idle and wait for the goodbyes; what is in use goes after its message."""
        self._closing = True
        if self._asking is not None:
            self._asking.cancel()
        self.let_go(0)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keeps(self, seat: Seat) -> bool:
        """Whether another message may have the seat as it is."""
        if seat.permit.is_lost or self._are_too_many():
            return False
        connection = seat.connection
        if connection is None:
            return True
        young = self._clock() - seat.opened_at < MAX_AGE_SECONDS
        return connection.usable and young and connection.sent < MAX_MESSAGES

    def _are_too_many(self) -> bool:
        """Whether the route's number was lowered below what there is."""
        staying = len(self._seats) - self._going
        return self._target is not None and staying > self._target.concurrency

    def _pass_on(self, seat: Seat) -> bool:
        while self._line:
            _, waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(seat)
                return True
        return False

    def _rest(self, seat: Seat) -> None:
        loop = asyncio.get_running_loop()
        seat.idle_at = loop.time()
        seat.expiry = loop.call_later(MAX_IDLE_SECONDS, self._expire, seat)
        self._idle.append(seat)

    def _wake(self, seat: Seat) -> Seat:
        self._idle.remove(seat)
        if seat.expiry is not None:
            seat.expiry.cancel()
        return seat

    def _expire(self, seat: Seat) -> None:
        self._dismiss(self._wake(seat))

    def _dismiss(self, seat: Seat) -> None:
        self._going += 1
        self._start(self._leave(seat))

    async def _leave(self, seat: Seat) -> None:
        """Say goodbye, and only then let anybody else have the permit."""
        try:
            if seat.connection is not None:
                connection, seat.connection = seat.connection, None
                await connection.close()
        finally:
            self._going -= 1
        if self._keeps(seat) and self._pass_on(seat):
            return
        await self._gate.give(seat.permit)
        self._seats.discard(seat)
        self._ask()
        self._forget_unused()

    def _ask(self) -> None:
        """See to it that somebody asks for more seats while there is a line."""
        wants = self._line and self._target and len(self._seats) < self._target.concurrency
        if wants and self._asking is None and self._ask_at <= asyncio.get_running_loop().time():
            self._asking = self._start(self._ask_for_seats())

    async def _ask_for_seats(self) -> None:
        try:
            while self._line and self._target and len(self._seats) < self._target.concurrency:
                permit = await self._gate.take(self._target)
                if permit is None:
                    self._ask_at = asyncio.get_running_loop().time() + LOOK_SECONDS
                    break
                seat = Seat(permit)
                self._seats.add(seat)
                self.free(seat)
        except NotNow as not_now:
            self.turn_away(not_now)
        except Exception as fault:  # noqa: BLE001 - whoever waits must hear of it
            logger.error("transport: no permit: %s", type(fault).__name__)
        finally:
            self._asking = None
        if not self._seats:
            self.turn_away(NotNow())
        self._forget_unused()

    def _look_along(self) -> None:
        """Send home who waits too long, and ask again for the others."""
        loop = asyncio.get_running_loop()
        self._look = None
        patience = LINE_SECONDS if self._line_seconds is None else self._line_seconds
        while self._line and self._line[0][0] <= loop.time() - patience:
            _, waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_exception(NotNow())
        if self._line:
            self._ask()
            self._look = loop.call_later(LOOK_SECONDS, self._look_along)
        self._forget_unused()

    def _start(self, act: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run in the background; nobody waits for another server's QUIT."""
        task = asyncio.get_running_loop().create_task(act)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _forget_unused(self) -> None:
        if not self._seats and not self._line and self._asking is None:
            self._forget(self)
