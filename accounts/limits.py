# SPDX-License-Identifier: AGPL-3.0-or-later
"""Limits on guessing, counted in Redis over sliding windows; never off, also without Redis.

Whom a count is about (a person, an address) is kept only as a short keyed hash, and not for
longer than the window.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache

import redis
from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import clock, redisclient, slidingwindow, vault
from accounts.refusals import Refused

logger = logging.getLogger(__name__)

MINUTE = 60
HOUR = 3600
DAY = 86400
# Rather a stricter count in this process for a while than a slow answer to each person.
REDIS_PAUSE_SECONDS = 5.0
WITHOUT_REDIS_DIVISOR = 4
IPV6_PREFIX = 64
HASH_OCTETS = 10
REMEMBERED_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many checks in so many seconds, for each of `windows` as (checks, seconds)."""

    name: str
    windows: tuple[tuple[int, int], ...]

    @property
    def longest(self) -> int:
        return max(seconds for _, seconds in self.windows)


SIGN_IN_PERSON = Limit("sign-in-person", ((10, 5 * MINUTE),))
SIGN_IN_ADDRESS = Limit("sign-in-address", ((10, 5 * MINUTE),))
SECOND_FACTOR = Limit("second-factor", ((5, 5 * MINUTE), (20, HOUR), (50, DAY)))
MAIL_TO_PERSON = Limit("mail-person", ((5, HOUR),))
MAIL_FROM_ADDRESS = Limit("mail-address", ((20, HOUR),))
INVITATIONS = Limit("invitations", ((20, HOUR), (100, DAY)))


class TooMany(Refused):
    text: Promise = _("Too many tries. Wait a few minutes, then try again.")

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


def check(limit: Limit, whom: str) -> None:
    """Count one check about `whom`. Raises TooMany, which counts nothing, when there were too many.

    Call it before the work that is limited, so that tries made at the same time all count.
    """
    key = _key(limit, whom)
    now = int(clock.now().timestamp() * 1000)
    wait = _wait(limit, key, now)
    if wait > 0:
        raise TooMany(math.ceil(wait / 1000))


def client_address(request: HttpRequest) -> str:
    """Return the network address that a request came from, as far as it can be believed.

    Each proxy adds who asked it at the right end of X-Forwarded-For: what stands left of the first
    address outside TRUSTED_PROXIES was written by that client.
    """
    address = str(request.META["REMOTE_ADDR"])
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        if not _is_trusted_proxy(address) or _parsed(hop.strip()) is None:
            break
        address = hop.strip()
    return address


def _is_trusted_proxy(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in settings.TRUSTED_PROXIES)


def check_address(limit: Limit, address: str) -> None:
    """Count one check about a network address. Raises TooMany."""
    check(limit, network(address))


def network(address: str) -> str:
    """Return what is counted for an address: an IPv6 host owns a whole /64."""
    parsed = _parsed(address)
    if parsed is None or parsed.version == 4:
        return str(parsed or address)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address, an IPv4 one also where IPv6 carries it; None for anything else."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _key(limit: Limit, whom: str) -> str:
    digest = vault.keyed_hash("limit", f"{limit.name}|{whom}".encode())
    return f"limit:{limit.name}:{digest[:HASH_OCTETS].hex()}"


def _wait(limit: Limit, key: str, now: int) -> int:
    if time.monotonic() >= _without_redis.until:
        try:
            script = _redis(settings.REDIS_URL).register_script(slidingwindow.COUNT)
            name = secrets.token_hex(8)
            return int(script([key], slidingwindow.arguments(now, name, limit.windows)))
        except redis.RedisError as error:
            logger.warning("limits are counted in this process: %s", type(error).__name__)
            _without_redis.until = time.monotonic() + REDIS_PAUSE_SECONDS
    return _without_redis.wait(limit, key, now)


@lru_cache(maxsize=4)
def _redis(url: str) -> redis.Redis:
    return redisclient.opened(url, redisclient.ANSWER_SECONDS)


class ProcessCounters:
    """The same windows counted in one process, each at a part of its limit."""

    def __init__(self) -> None:
        self.until = 0.0
        self._times: dict[str, list[int]] = {}

    def wait(self, limit: Limit, key: str, now: int) -> int:
        """Count a check as slidingwindow.COUNT does; return the milliseconds to wait."""
        times = [at for at in self._times.get(key, []) if at > now - limit.longest * 1000]
        waits = [_window_wait(times, count, seconds, now) for count, seconds in limit.windows]
        if max(waits) == 0:
            times.append(now)
        self._remember(key, times)
        return max(waits)

    def clear(self) -> None:
        self.until = 0.0
        self._times.clear()

    def _remember(self, key: str, times: list[int]) -> None:
        self._times.pop(key, None)
        self._times[key] = times
        if len(self._times) > REMEMBERED_KEYS:
            del self._times[next(iter(self._times))]


def _window_wait(times: list[int], count: int, seconds: int, now: int) -> int:
    allowed = max(1, count // WITHOUT_REDIS_DIVISOR)
    inside = [at for at in times if at > now - seconds * 1000]
    return inside[-allowed] + seconds * 1000 - now if len(inside) >= allowed else 0


_without_redis = ProcessCounters()
