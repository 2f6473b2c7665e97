# SPDX-License-Identifier: AGPL-3.0-or-later
"""Counters that all processes share: mail of a credential or an organisation, failed sign-ins.

They live in Redis. Without Redis each process counts for itself, at a quarter of the limit: a
broken counter must never mean an unlimited one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from redis.exceptions import RedisError

from accounts import redisclient, slidingwindow

logger = logging.getLogger(__name__)

SIGN_IN_FAILURES = 10
SIGN_IN_SECONDS = 300
MINUTE, HOUR, DAY = 60, 3_600, 86_400

_PAUSE_SECONDS = 2.0  # before an unreachable Redis is asked again
_SHARE_WITHOUT_REDIS = 4
_MOST_KEYS = 10_000  # kept in memory by one process

# KEYS[1] counter; ARGV: wanted, limit, seconds to keep, unspent part of an earlier grant that is
# given back. Returns how much of what is wanted is granted.
_TAKE = """
local given = tonumber(redis.call('GET', KEYS[1]) or '0')
local spent = math.max(0, given - tonumber(ARGV[4]))
local granted = math.max(0, math.min(tonumber(ARGV[1]), tonumber(ARGV[2]) - spent))
if spent + granted ~= given then
  redis.call('SET', KEYS[1], spent + granted, 'EX', ARGV[3])
end
return granted
"""

Clock = Callable[[], float]


class Unreachable(Exception):
    """Redis did not answer."""


class SharedCounters:
    """The few questions put to Redis. Raises Unreachable, and then does not ask for a while."""

    def __init__(self, url: str, clock: Clock = time.monotonic) -> None:
        self._redis = redisclient.opened_async(url, redisclient.ANSWER_SECONDS)
        self._clock = clock
        self._silent_until = 0.0
        # A burst of guesses must not become a burst of connections.
        self._one_at_a_time = asyncio.Lock()

    async def take(self, key: str, wanted: int, limit: int, seconds: int, unspent: int = 0) -> int:
        """How much of `wanted` the counter still grants, once `unspent` is given back to it."""
        return await self._ask(_TAKE, [key], wanted, limit, seconds, unspent)

    async def attempt(self, keys: Sequence[str], token: str, now: float) -> bool:
        """Whether one more attempt is granted for every key."""
        # Room is taken before the password is looked at: parallel guesses cannot exceed it.
        windows = ((SIGN_IN_FAILURES, SIGN_IN_SECONDS),)
        arguments = slidingwindow.arguments(int(now * 1000), token, windows)
        return await self._ask(slidingwindow.COUNT, keys, *arguments) == 0

    async def forgive(self, keys: Sequence[str], token: str) -> None:
        """The attempt was no failure."""
        await self._ask(slidingwindow.FORGET, keys, token)

    @property
    def is_away(self) -> bool:
        """Whether Redis was silent a moment ago, so that it is not asked."""
        return self._clock() < self._silent_until

    async def close(self) -> None:
        """Drop the connections."""
        await self._redis.aclose()

    async def _ask(self, script: str, keys: Sequence[str], *arguments: str | float) -> int:
        async with self._one_at_a_time:
            if self._clock() < self._silent_until:
                raise Unreachable
            return await self._evaluate(script, keys, arguments)

    async def _evaluate(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | float]
    ) -> int:
        try:
            async with asyncio.timeout(redisclient.ANSWER_SECONDS):
                return int(await self._redis.eval(script, len(keys), *keys, *arguments))
        except (RedisError, OSError, TimeoutError) as error:
            self._silent_until = self._clock() + _PAUSE_SECONDS
            logger.warning("limits: Redis does not answer (%s)", type(error).__name__)
            raise Unreachable from None


@dataclass(slots=True)
class _Block:
    """A part of a limit that this process may spend without asking."""

    window: int
    limit: int = 0  # that `left` was granted under
    left: int = 0
    spent: int = 0  # in this window, by this process
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Allowance:
    """So much in each window, by name. Asks Redis for a block at a time, not for each message.

    Windows are fixed: all of a limit at the end of one and all of it at the beginning of the next
    make twice the limit in little time. What one process holds unspent when another finds nothing
    left is lost to the window: at most one of `parts` for each process.
    """

    def __init__(self, counters: SharedCounters, now: Clock = time.time, parts: int = 20) -> None:
        self._counters = counters
        self._parts = parts
        self._now = now  # seconds since 1970: windows are the same in all processes
        self._blocks: dict[str, _Block] = {}

    async def take(self, name: str, limit: int, seconds: int) -> bool:
        """Spend one of `limit` per window of `seconds`; False when nothing is left.

        A limit that was changed holds from here on: what was granted under another is given back.
        """
        window = int(self._now() // seconds)
        key = f"limit:{name}:{seconds}"
        block = self._blocks.get(key)
        if block is None or block.window != window:
            block = self._open(key, window)
        if block.left <= 0 or block.limit != limit:
            async with block.asking:
                if block.left <= 0 or block.limit != limit:
                    await self._refill(f"{key}:{window}", block, limit, seconds)
        if block.left <= 0:
            return False
        block.left -= 1
        block.spent += 1
        return True

    def give_back(self, name: str, seconds: int) -> None:
        """Undo what `take` has just spent."""
        block = self._blocks.get(f"limit:{name}:{seconds}")
        if block is not None and block.window == int(self._now() // seconds) and block.spent:
            block.left += 1
            block.spent -= 1

    def _open(self, key: str, window: int) -> _Block:
        if len(self._blocks) >= _MOST_KEYS:
            self._blocks.clear()
        block = self._blocks[key] = _Block(window)
        return block

    async def _refill(self, key: str, block: _Block, limit: int, seconds: int) -> None:
        # A part, so that no process can hold much of a limit that others would need.
        wanted = max(1, min(100, limit // self._parts))
        # Out of reach while Redis is asked: nobody may spend what is being given back.
        unspent, block.left = block.left, 0
        block.limit = limit
        try:
            block.left = await self._counters.take(key, wanted, limit, 2 * seconds, unspent)
        except Unreachable:
            block.left = int(block.spent < max(1, limit // _SHARE_WITHOUT_REDIS))


class SignInGate:
    """At most SIGN_IN_FAILURES failed attempts in SIGN_IN_SECONDS, per address and per credential.

    Keys are keyed hashes: neither addresses nor user names go to Redis.
    """

    def __init__(self, counters: SharedCounters, now: Clock = time.time) -> None:
        self._counters = counters
        self._now = now
        self._failures: dict[str, deque[float]] = {}
        self._under_way: Counter[str] = Counter()
        self._ended = asyncio.Event()  # a new one after each end of an attempt

    async def enter(self, keys: Sequence[str]) -> str | None:
        """Room for one attempt, None when there is none; waits while others could take the last.

        The token is for `passed` or `failed`; who calls neither calls `left`. Who has failed
        nowhere in this process is let in without asking Redis, so an honest connection costs
        nothing; all processes together can so exceed the limit by their number.
        """
        while any(self._is_full(key) for key in keys):
            await self._ended.wait()
        self._under_way.update(keys)
        try:
            token = await self._room(keys)
        except BaseException:
            self.left(keys)
            raise
        if token is None:
            self.left(keys)
        return token

    def _is_full(self, key: str) -> bool:
        """Whether the attempts under way would use the limit up if all of them failed."""
        under_way = self._under_way[key]
        return under_way > 0 and under_way + len(self._recent(key)) >= SIGN_IN_FAILURES

    async def _room(self, keys: Sequence[str]) -> str | None:
        recent = max((len(self._recent(key)) for key in keys), default=0)
        if recent == 0:
            return ""
        token = uuid4().hex
        try:
            return token if await self._counters.attempt(keys, token, self._now()) else None
        except Unreachable:
            return "" if recent < SIGN_IN_FAILURES // _SHARE_WITHOUT_REDIS else None

    def left(self, keys: Sequence[str]) -> None:
        """The attempt is over; its place may be taken by one that waits."""
        self._under_way.subtract(keys)
        for key in keys:
            if self._under_way[key] <= 0:
                del self._under_way[key]
        self._ended.set()
        self._ended = asyncio.Event()

    async def passed(self, keys: Sequence[str], token: str) -> None:
        """The attempt succeeded: it leaves no trace."""
        self.left(keys)
        if token:
            try:
                await self._counters.forgive(keys, token)
            except Unreachable:
                return

    async def failed(self, keys: Sequence[str], token: str) -> None:
        """The attempt failed."""
        for key in keys:
            self._recent(key).append(self._now())
        self.left(keys)
        if not token:
            try:
                await self._counters.attempt(keys, uuid4().hex, self._now())
            except Unreachable:
                return

    def _recent(self, key: str) -> deque[float]:
        if len(self._failures) > _MOST_KEYS:
            self._forget_old()
        failures = self._failures.setdefault(key, deque(maxlen=SIGN_IN_FAILURES))
        while failures and failures[0] <= self._now() - SIGN_IN_SECONDS:
            failures.popleft()
        return failures

    def _forget_old(self) -> None:
        limit = self._now() - SIGN_IN_SECONDS
        kept = {key: times for key, times in self._failures.items() if times and times[-1] > limit}
        self._failures = kept if len(kept) <= _MOST_KEYS else {}
