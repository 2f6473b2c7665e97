# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shared counters on a real Redis, with several processes' worth of objects, and without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis
from django.conf import settings

from relay.limits import MINUTE, SIGN_IN_SECONDS, Allowance, SharedCounters, SignInGate, Unreachable

NOWHERE = "redis://127.0.0.1:1/0"
KEYS = ["sign-in:address:a", "sign-in:credential:b"]


class Clock:
    """Time that the test moves, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as counters:
        counters.flushdb()


def run(scenario: Callable[[SharedCounters], Awaitable[None]], url: str = "") -> None:
    async def with_counters() -> None:
        counters = SharedCounters(url or settings.REDIS_URL)
        try:
            await scenario(counters)
        finally:
            await counters.close()

    asyncio.run(with_counters())


async def taken(allowance: Allowance, limit: int, times: int, name: str = "anna") -> int:
    return sum([await allowance.take(name, limit, MINUTE) for _ in range(times)])


@pytest.mark.parametrize("limit", [0, 1, 7, 40, 1_000])
def test_processes_share_one_limit_exactly(limit):
    async def scenario(counters):
        clock = Clock()
        processes = [Allowance(counters, clock) for _ in range(4)]
        granted = 0
        for _ in range(limit + 20):
            for process in processes:
                granted += await process.take("anna", limit, MINUTE)
        assert granted == limit

    run(scenario)


@pytest.mark.parametrize(("spent", "lowered", "left"), [(10, 12, 2), (10, 10, 0), (60, 12, 0)])
def test_lowered_limit_holds_from_the_next_message(spent, lowered, left):
    async def scenario(counters):
        allowance, other = Allowance(counters, Clock()), Allowance(counters, Clock())
        assert await taken(allowance, 1_000, spent) == spent
        assert await taken(allowance, lowered, 30) == left
        assert await taken(other, lowered, 30) == 0

    run(scenario)


def test_raised_limit_holds_at_once_and_forgets_nothing_spent():
    async def scenario(counters):
        allowance = Allowance(counters, Clock())
        assert await taken(allowance, 40, 41) == 40
        assert await taken(allowance, 100, 100) == 60

    run(scenario)


def test_connections_that_know_different_limits_exceed_neither():
    async def scenario(counters):
        allowance = Allowance(counters, Clock())
        takes = [allowance.take("anna", limit, MINUTE) for _ in range(50) for limit in (30, 20)]
        assert sum(await asyncio.gather(*takes)) == 30

    run(scenario)


def test_limit_lowered_while_redis_is_away_holds_as_well():
    async def scenario(counters):
        allowance = Allowance(counters, Clock())
        assert await taken(allowance, 1_000, 10) == 10
        assert await taken(allowance, 20, 9) == 0

    async def then_away(counters):
        await scenario(_Leaving(counters, after=1))

    run(then_away)


class _Leaving:
    """Counters that answer so often, and then no more."""

    def __init__(self, counters: SharedCounters, after: int) -> None:
        self._counters, self._left = counters, after

    async def take(self, *arguments: object) -> int:
        self._left -= 1
        if self._left < 0:
            raise Unreachable
        return await self._counters.take(*arguments)  # type: ignore[arg-type] # handed on


def test_parallel_takes_never_exceed_the_limit():
    async def scenario(counters):
        allowance = Allowance(counters, Clock())
        takes = [allowance.take("anna", 60, MINUTE) for _ in range(200)]
        assert sum(await asyncio.gather(*takes)) == 60

    run(scenario)


def test_a_new_window_starts_anew():
    async def scenario(counters):
        clock = Clock()
        allowance = Allowance(counters, clock)
        assert await taken(allowance, 5, 9) == 5
        clock.now += MINUTE
        assert await taken(allowance, 5, 9) == 5
        assert await taken(allowance, 5, 9, "bo") == 5

    run(scenario)


def test_counters_are_forgotten_by_redis():
    async def scenario(counters):
        await taken(Allowance(counters, Clock()), 5, 1)
        gate = SignInGate(counters, Clock())
        await gate.failed(KEYS, await gate.enter(KEYS) or "")

    run(scenario)
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as counters:
        found = {key: counters.ttl(key) for key in counters.keys("*")}
    assert len(found) == 3
    assert all(0 < seconds <= SIGN_IN_SECONDS for seconds in found.values())


def test_without_redis_each_process_has_a_quarter():
    async def scenario(counters):
        allowance = Allowance(counters, Clock())
        assert await taken(allowance, 40, 60) == 10
        assert await taken(allowance, 1, 5, "bo") == 1

    run(scenario, NOWHERE)


def test_unreachable_redis_is_not_asked_again_at_once():
    async def scenario(counters):
        for _ in range(2):
            with pytest.raises(Unreachable):
                await counters.take("x", 1, 1, 1)

    run(scenario, NOWHERE)


async def failures(gate: SignInGate, times: int, keys: list[str] = KEYS) -> int:
    """How many of `times` wrong passwords were looked at."""
    looked_at = 0
    for _ in range(times):
        token = await gate.enter(keys)
        if token is not None:
            looked_at += 1
            await gate.failed(keys, token)
    return looked_at


async def guess(gate: SignInGate, *, right: bool = False) -> bool:
    """Whether a password was looked at; looking takes a moment."""
    token = await gate.enter(KEYS)
    if token is None:
        return False
    await asyncio.sleep(0.01)
    await (gate.passed if right else gate.failed)(KEYS, token)
    return True


def test_ten_failures_close_the_gate_and_time_opens_it():
    async def scenario(counters):
        clock = Clock()
        gate = SignInGate(counters, clock)
        assert await failures(gate, 30) == 10
        clock.now += SIGN_IN_SECONDS - 1
        assert await gate.enter(KEYS) is None
        clock.now += 2
        assert await gate.enter(KEYS) is not None

    run(scenario)


@pytest.mark.parametrize("fixed", [0, 1])
def test_the_address_and_the_credential_count_each_for_itself(fixed):
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        looked_at = 0
        for number in range(30):
            keys = [f"k{number}", f"k{number}"]
            keys[fixed] = "same"
            looked_at += await failures(gate, 1, keys)
        assert looked_at == 10

    run(scenario)


def test_processes_share_the_gate():
    async def scenario(counters):
        clock = Clock()
        gates = [SignInGate(counters, clock) for _ in range(4)]
        looked_at = 0
        for _ in range(20):
            for gate in gates:
                looked_at += await failures(gate, 1)
        assert looked_at <= 10 + len(gates)

    run(scenario)


def test_parallel_guesses_do_not_slip_through():
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        await failures(gate, 1)
        assert sum(await asyncio.gather(*(guess(gate) for _ in range(50)))) == 9

    run(scenario)


@pytest.mark.parametrize("url", ["", NOWHERE])
def test_first_burst_of_parallel_guesses_is_bounded(url):
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        assert sum(await asyncio.gather(*(guess(gate) for _ in range(50)))) == 10

    run(scenario, url)


def test_burst_of_honest_sign_ins_waits_and_passes():
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        assert all(await asyncio.gather(*(guess(gate, right=True) for _ in range(50))))

    run(scenario)


def test_attempt_that_was_given_up_leaves_its_place_to_others():
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        for _ in range(30):
            assert await asyncio.wait_for(gate.enter(KEYS), 30) is not None
            gate.left(KEYS)

    run(scenario)


def test_success_leaves_no_trace():
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        await failures(gate, 1)
        for _ in range(30):
            token = await gate.enter(KEYS)
            assert token is not None
            await gate.passed(KEYS, token)

    run(scenario)


def test_without_redis_the_gate_is_narrower():
    async def scenario(counters):
        gate = SignInGate(counters, Clock())
        assert await failures(gate, 30) == 2
        await gate.passed(KEYS, "token")

    run(scenario, NOWHERE)


def test_memory_is_bounded():
    async def scenario(counters):
        clock = Clock()
        gate, allowance = SignInGate(counters, clock), Allowance(counters, clock)
        for number in range(10_050):
            gate._recent(f"k{number}")
            allowance._open(f"k{number}", 1)
        assert len(gate._failures) < 10_050
        assert len(allowance._blocks) < 10_050

    run(scenario, NOWHERE)
