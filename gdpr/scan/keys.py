# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every key of Redis, its name and its value whatever its type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from gdpr.scan.needles import Finding, Kind, Needle, ScanIncomplete, is_mention, listed

PATIENCE_SECONDS = 10.0
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Searched:
    findings: list[Finding]
    keys: int
    mentions: int


def search(needles: Sequence[Needle]) -> Searched:
    """Look through all keys. Raises ScanIncomplete when Redis is away or a type is not known."""
    found: Counter[tuple[str, Kind]] = Counter()
    keys = mentions = 0
    try:
        with _redis() as redis:
            for key in redis.scan_iter(count=BATCH):
                keys += 1
                places = _found_in(redis, key, needles)
                found.update(places)
                mentions += is_mention({kind for _, kind in places})
    except RedisError as error:
        raise ScanIncomplete(f"Redis: {type(error).__name__}") from None
    return Searched(listed(found), keys, mentions)


def _redis() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
    )


def _found_in(redis: Redis, key: bytes, needles: Sequence[Needle]) -> set[tuple[str, Kind]]:
    kind = str(redis.type(key).decode())  # type: ignore[union-attr] # not an async client
    found = set()
    for piece in _pieces(redis, key, kind):
        # The name of the key may be what was found: the place is only its type.
        found |= {(f"redis:{kind}", needle.kind) for needle in needles if needle.is_in(piece)}
    return found


def _pieces(redis: Redis, key: bytes, kind: str) -> Iterator[bytes]:
    yield key
    # A key may expire between its listing and its reading.
    if kind == "none":
        return
    if kind not in READERS:
        raise ScanIncomplete(f"Redis: a key of type {kind}")
    yield from READERS[kind](redis, key)


def _string(redis: Any, key: bytes) -> Iterator[bytes]:
    yield redis.get(key) or b""


def _list(redis: Any, key: bytes) -> Iterator[bytes]:
    for start in range(0, redis.llen(key), BATCH):
        yield from redis.lrange(key, start, start + BATCH - 1)


def _hash(redis: Any, key: bytes) -> Iterator[bytes]:
    for name, value in redis.hscan_iter(key, count=BATCH):
        yield from (name, value)


def _set(redis: Any, key: bytes) -> Iterator[bytes]:
    yield from redis.sscan_iter(key, count=BATCH)


def _sorted_set(redis: Any, key: bytes) -> Iterator[bytes]:
    for member, _score in redis.zscan_iter(key, count=BATCH):
        yield member


def _stream(redis: Any, key: bytes) -> Iterator[bytes]:
    for _id, fields in redis.xrange(key):
        for name, value in fields.items():
            yield from (name, value)


READERS: dict[str, Callable[[Any, bytes], Iterator[bytes]]] = {
    "string": _string,
    "list": _list,
    "hash": _hash,
    "set": _set,
    "zset": _sorted_set,
    "stream": _stream,
}
