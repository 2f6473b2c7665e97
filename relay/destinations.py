# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is known of the domains that mail is delivered to, by all shifts and of all customers' mail:
whether their servers answer, and what they demand of whoever sends to them.

Rows come with the first failure or the first policy, and go by `forget`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import psycopg
from django.db.models import Q

from relay import resting
from relay.models import Destination
from relay.models.messages import LOG_DAYS
from relay.queue import HotConnection
from relay.smtp import sts

Connection = psycopg.AsyncConnection[Any]
Found = TypeVar("Found")

FRESH = timedelta(seconds=2)
KEPT_MOST = 10_000
RETRY_SECONDS = 0.3


class Aimed(Protocol):
    """What is asked about: a target of relay.transports, which itself asks here."""

    @property
    def destination(self) -> str: ...

    @property
    def is_failing(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A policy as it was fetched."""

    id: str
    policy: sts.Policy
    fetched_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When it binds nobody any more (RFC 8461 §3.2)."""
        return self.fetched_at + self.policy.max_age


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One domain, as it is stored."""

    failures: int = 0
    rest_until: datetime | None = None
    known: Known | None = None

    def rests(self, now: datetime) -> bool:
        """Whether its servers are left alone, because none of them answered."""
        return self.rest_until is not None and self.rest_until > now


# Read once in FRESH at most; the day is written once.
FIND = """
WITH used AS (
    UPDATE relay_destination SET used_on = %(today)s
    WHERE name = %(name)s AND used_on < %(today)s
)
SELECT failures, rest_until, sts_id, sts_mode, sts_mx, sts_fetched_at, sts_expires_at
FROM relay_destination WHERE name = %(name)s
"""
# While it rests, connections that began before may still fail: they do not prolong it.
FAILED = """
INSERT INTO relay_destination AS d (name, failures, used_on) VALUES (%(name)s, 1, %(today)s)
ON CONFLICT (name) DO UPDATE SET used_on = EXCLUDED.used_on,
    failures = least(d.failures + 1, %(most)s),
    rest_until = CASE WHEN d.failures + 1 >= %(failures)s THEN %(now)s::timestamptz + least(
        %(shortest)s * 2 ^ least(d.failures + 1 - %(failures)s, 10), %(longest)s) END
WHERE d.rest_until IS NULL OR d.rest_until <= %(now)s
RETURNING rest_until
"""
# A statement of its own: it has to see the rest that another shift has just begun.
RESTS = "SELECT rest_until FROM relay_destination WHERE name = %(name)s AND rest_until > %(now)s"
WORKED = """
UPDATE relay_destination SET failures = 0, rest_until = NULL WHERE name = %(name)s AND failures > 0
"""
# Two shifts may fetch at once; the younger policy stays.
KEEP = """
INSERT INTO relay_destination AS d (name, used_on, sts_id, sts_mode, sts_mx, sts_fetched_at,
    sts_expires_at, sts_checked_at)
VALUES (%(name)s, %(today)s, %(id)s, %(mode)s, %(mx)s, %(now)s, %(expires)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET used_on = EXCLUDED.used_on, sts_id = EXCLUDED.sts_id,
    sts_mode = EXCLUDED.sts_mode, sts_mx = EXCLUDED.sts_mx,
    sts_fetched_at = EXCLUDED.sts_fetched_at, sts_expires_at = EXCLUDED.sts_expires_at,
    sts_checked_at = EXCLUDED.sts_checked_at
WHERE d.sts_fetched_at IS NULL OR d.sts_fetched_at < EXCLUDED.sts_fetched_at
"""


class Destinations:
    """The domains that this process delivers to. Whoever asks waits for a database that is away."""

    def __init__(self, dsn: str, now: Callable[[], datetime]) -> None:
        self._connection = HotConnection(dsn)
        self._one_at_a_time = asyncio.Lock()
        self._now = now
        self._read: OrderedDict[str, tuple[datetime, Facts]] = OrderedDict()
        self._failing: set[str] = set()

    async def close(self) -> None:
        await self._connection.close()

    async def facts(self, name: str) -> Facts:
        """Return what is known of a domain, as of two seconds ago; `name` is an A-label."""
        if (known := self._fresh(name)) is not None:
            return known
        return await self._at_last(lambda connection: self._look(connection, name))

    def _fresh(self, name: str) -> Facts | None:
        read_at, facts = self._read.get(name, (None, None))
        return facts if read_at and abs(self._now() - read_at) < FRESH else None

    async def _look(self, connection: Connection, name: str) -> Facts:
        """Read, unless somebody has meanwhile: of a whole claim all ask at once."""
        if (known := self._fresh(name)) is not None:
            return known
        # From before the reading: what changed during it may be missing.
        now = self._now()
        facts = await _find(connection, name, now)
        self._read[name] = (now, facts)
        self._read.move_to_end(name)
        if len(self._read) > KEPT_MOST:
            self._read.popitem(last=False)
        return facts

    async def keep(self, name: str, known: Known) -> None:
        """Store a policy, so that a new process knows it without anybody's help."""
        values = _values(name, known.fetched_at) | {
            "id": known.id,
            "mode": known.policy.mode.value,
            "mx": list(known.policy.mx),
            "expires": known.expires_at,
        }
        await self._at_last(lambda connection: connection.execute(KEEP, values))
        self._read.pop(name, None)

    async def failed(self, target: Aimed) -> datetime | None:
        """Count a connection that failed; returns until when the domain rests, if it does."""
        name, now = target.destination, self._now()
        self._failing.add(name)
        until = await self._at_last(lambda connection: _failed(connection, name, now))
        self._read.pop(name, None)
        return until

    async def rests(self, target: Aimed) -> datetime | None:
        """Return until when the domain rests, as of now; None when it does not."""
        name, now = target.destination, self._now()
        return await self._at_last(lambda connection: _rests(connection, name, now))

    async def worked(self, target: Aimed) -> None:
        """Note that one of its servers answers, if none did of late."""
        name = target.destination
        if not target.is_failing and name not in self._failing:
            return
        self._failing.discard(name)
        await self._at_last(lambda connection: connection.execute(WORKED, {"name": name}))
        self._read.pop(name, None)

    async def _at_last(self, act: Callable[[Connection], Awaitable[Found]]) -> Found:
        while True:
            try:
                async with self._one_at_a_time, self._connection.use() as connection:
                    return await act(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                await asyncio.sleep(RETRY_SECONDS)


def _values(name: str, now: datetime) -> dict[str, Any]:
    return {"name": name, "now": now, "today": now.date()}


async def _find(connection: Connection, name: str, now: datetime) -> Facts:
    row = await (await connection.execute(FIND, _values(name, now))).fetchone()
    if row is None:
        return Facts()
    failures, rest_until, identifier, mode, mx, fetched_at, expires_at = row
    if fetched_at is None:
        return Facts(failures=failures, rest_until=rest_until)
    policy = sts.Policy(sts.Mode(mode), tuple(mx), expires_at - fetched_at)
    known = Known(id=identifier, policy=policy, fetched_at=fetched_at)
    return Facts(failures=failures, rest_until=rest_until, known=known)


async def _failed(connection: Connection, name: str, now: datetime) -> datetime | None:
    values = _values(name, now) | {
        "failures": resting.FAILURES,
        "most": resting.FAILURES_MOST,
        "shortest": resting.SHORTEST,
        "longest": resting.LONGEST,
    }
    row = await (await connection.execute(FAILED, values)).fetchone()
    return row[0] if row else await _rests(connection, name, now)


async def _rests(connection: Connection, name: str, now: datetime) -> datetime | None:
    row = await (await connection.execute(RESTS, _values(name, now))).fetchone()
    return row[0] if row else None


def forget(now: datetime) -> int:
    """Delete what nobody needs any more, and return how many rows; role duty.

    That is a domain that no mail went to for LOG_DAYS, and a policy that has expired, which then
    takes the count of failures along: of which domains are written to, no more than this is kept.
    """
    unused = Q(used_on__lt=now.date() - timedelta(days=LOG_DAYS))
    expired = Q(sts_expires_at__lt=now) & (Q(rest_until=None) | Q(rest_until__lt=now))
    count, _ = Destination.objects.filter(unused | expired).delete()
    return count
