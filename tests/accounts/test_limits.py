# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import time
from ipaddress import ip_network

import pytest
from django.conf import settings
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from accounts import limits
from accounts.limits import HOUR, MINUTE, Limit, TooMany
from tests.accounts.conftest import Clock

LIMIT = Limit("test", ((8, 5 * MINUTE), (12, HOUR)))


def _used_up(limit: Limit, whom: str) -> int:
    """Check until it is too many; return how often it was not."""
    for count in range(200):
        try:
            limits.check(limit, whom)
        except TooMany:
            return count
    raise AssertionError("no limit")


@pytest.fixture(params=["redis", "process"])
def divisor(request: pytest.FixtureRequest, settings: Settings) -> int:
    """Count in Redis, then without it: the quarter must behave as the whole does."""
    if request.param == "redis":
        return 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    return limits.WITHOUT_REDIS_DIVISOR


def test_window_slides(clock: Clock, divisor: int) -> None:
    first, hour = 8 // divisor, 12 // divisor
    limits.check(LIMIT, "anna")
    clock.forward(minutes=4)
    assert _used_up(LIMIT, "anna") == first - 1
    clock.forward(seconds=59)
    assert _used_up(LIMIT, "anna") == 0
    clock.forward(seconds=1)
    assert _used_up(LIMIT, "anna") == 1
    clock.forward(minutes=5)
    assert _used_up(LIMIT, "anna") == hour - first - 1
    clock.forward(minutes=5)
    assert _used_up(LIMIT, "anna") == 0


def test_wait_is_told(clock: Clock, divisor: int) -> None:
    assert _used_up(LIMIT, "anna") == 8 // divisor
    clock.forward(seconds=100)
    with pytest.raises(TooMany) as refusal:
        limits.check(LIMIT, "anna")
    assert refusal.value.retry_after == 200


def test_people_and_limits_are_apart(clock: Clock, divisor: int) -> None:
    _used_up(LIMIT, "anna")
    limits.check(LIMIT, "bo")
    limits.check(Limit("other", LIMIT.windows), "anna")


@pytest.mark.parametrize(
    ("limit", "figures"),
    [
        (limits.SIGN_IN_PERSON, [(10, 300)]),
        (limits.SIGN_IN_ADDRESS, [(10, 300)]),
        (limits.SECOND_FACTOR, [(5, 300), (20, 3600), (50, 86400)]),
    ],
)
def test_figures_are_those_promised(limit: Limit, figures: list[tuple[int, int]]) -> None:
    assert list(limit.windows) == figures


def test_redis_holds_no_name_and_forgets(clock: Clock) -> None:
    limits.check(LIMIT, "anna@due.example")
    limits.check_address(LIMIT, "192.0.2.7")
    redis = limits._redis(settings.REDIS_URL)
    keys = redis.keys("*")
    assert len(keys) == 2
    for key in keys:
        assert len(key) < 50
        assert b"anna" not in key
        # Two or three figures alone would stand in a digest now and then.
        assert b"192.0" not in key
        assert 0 < redis.pttl(key) <= LIMIT.longest * 1000


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
    ],
)
def test_ipv6_host_is_its_network(address: str, network: str) -> None:
    assert limits.network(address) == network


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.5", "203.0.113.9, 198.51.100.1, 10.0.0.6", "198.51.100.1"),
        ("10.0.0.5", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.5", "10.0.0.6", "10.0.0.6"),
        ("10.0.0.5", "198.51.100.1, unknown", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
        ("", "198.51.100.1", ""),
    ],
)
def test_only_trusted_proxies_are_believed(
    rf: RequestFactory, settings: Settings, remote: str, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/24")]
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = rf.get("/", REMOTE_ADDR=remote, headers=headers)
    assert limits.client_address(request) == address


def test_dead_redis_is_not_asked_every_time(settings: Settings, clock: Clock) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limits.check(LIMIT, "anna")
    assert limits._without_redis.until > time.monotonic()


def test_redis_is_asked_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    limits._without_redis.until = time.monotonic() + limits.REDIS_PAUSE_SECONDS
    assert _used_up(LIMIT, "anna") == 2
    limits._without_redis.until = 0.0
    assert _used_up(LIMIT, "anna") == 8


def test_process_counters_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_KEYS", 3)
    counters = limits.ProcessCounters()
    for key in "abcde":
        counters.wait(LIMIT, key, 0)
    assert list(counters._times) == ["c", "d", "e"]
