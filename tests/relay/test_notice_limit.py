# SPDX-License-Identifier: AGPL-3.0-or-later
"""Notices are limited for each organisation, over all processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.conf import settings

from relay.limits import SharedCounters
from relay.notices import NoticeLimit

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def with_limits(
    scenario: Callable[..., Awaitable[None]], number: int, url: str = "", most: int = 2
) -> None:
    """Run with so many processes' limits."""

    async def run() -> None:
        limits = [
            NoticeLimit(SharedCounters(url or settings.REDIS_URL), lambda: NOW, most)
            for _ in range(number)
        ]
        try:
            await scenario(*limits)
        finally:
            for limit in limits:
                await limit.close()

    asyncio.run(run())


def test_notices_beyond_the_limit_have_their_turns_one_after_the_other() -> None:
    async def scenario(limit: NoticeLimit) -> None:
        one, other = uuid4(), uuid4()
        assert [await limit.turn(one, NOW) - NOW for _ in range(5)] == [
            timedelta(), timedelta(), MINUTE, MINUTE * 1.5, MINUTE * 2,
        ]  # fmt: skip
        assert await limit.turn(other, NOW) == NOW

    with_limits(scenario, 1)


@pytest.mark.behaviour(41)
def test_all_processes_share_one_limit() -> None:
    async def scenario(*limits: NoticeLimit) -> None:
        organisation = uuid4()
        granted = [await limit.grants(organisation) for _ in range(3) for limit in limits]
        assert sum(granted) == 7

    with_limits(scenario, 4, most=7)


def test_without_redis_each_process_has_a_part() -> None:
    async def scenario(limit: NoticeLimit) -> None:
        organisation = uuid4()
        assert sum([await limit.grants(organisation) for _ in range(20)]) == 2

    with_limits(scenario, 1, url="redis://127.0.0.1:1/0", most=8)
