# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where failures are told that come later: of mail that goes straight to its recipients' servers
by a return path, of mail that a provider takes by a mark that comes back with its reports.

A customer's own server gets the envelope as it was given, because another sender would break SPF
and bounces of theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from relay import returnpaths
from relay.models import Route
from relay.queue import HotConnection, Leased, Work
from relay.returnpaths import ReturnPath
from relay.smtp.envelope import Envelope, Recipient
from relay.transports import RouteTarget

FRESH = timedelta(seconds=60)
RETRY_SECONDS = 0.3
_MOST_DOMAINS = 10_000

Owner = tuple[UUID, str]  # an organisation and a name

# The nearest proven name at or above the sender's domain whose record leads here. It is as old as
# its last check, which is far from every mail: a record that goes costs a report, not the mail.
HOST = """
SELECT d.return_path || '.' || d.name FROM relay_sendingdomain d
WHERE d.organisation_id = %(organisation)s AND d.name = ANY(%(names)s)
    AND d.state IN ('verified', 'failing')
    AND EXISTS (SELECT FROM relay_domainrecord r WHERE r.domain_id = d.id
        AND r.kind = 'return_path' AND r.state = 'found')
ORDER BY length(d.name) DESC LIMIT 1
"""


class Returning:
    """Implements relay.preparing.ReturnPaths."""

    def __init__(self, dsn: str, domain: str, now: Callable[[], datetime]) -> None:
        """`domain` is the service's own, for senders whose record does not lead here."""
        self._connection = HotConnection(dsn)
        self._asking = asyncio.Lock()  # one connection serves one statement at a time
        self._domain = domain
        self._now = now
        self._hosts: dict[Owner, tuple[datetime, str]] = {}

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()

    async def envelope(
        self, work: Work, target: RouteTarget, recipients: Sequence[Leased]
    ) -> Envelope:
        """Return the envelope that leaves. Waits for a database that is away."""
        given = work.envelope(tuple(recipients))
        # The null sender stays null, or a failure would be answered (RFC 5321 §4.5.5).
        if target.kind == Route.Kind.OWN or not given.sender:
            return given
        position = recipients[0].position if len(recipients) == 1 else None
        local = returnpaths.written(ReturnPath(work.message_id, position))
        if target.kind == Route.Kind.ESP:
            # The provider writes an envelope of its own; this is all that it is told of ours.
            return replace(given, sender=local)
        if not self._domain:
            return given
        return returning_to(f"{local}@{await self._host(work)}", given)

    async def _host(self, work: Work) -> str:
        key = (work.organisation_id, work.domain)
        host = self._fresh(key)
        if not host:
            async with self._asking:
                host = self._fresh(key) or await self._learn(key)
        return host

    def _fresh(self, key: Owner) -> str:
        read_at, host = self._hosts.get(key, (None, ""))
        return host if read_at is not None and abs(self._now() - read_at) < FRESH else ""

    async def _learn(self, key: Owner) -> str:
        now = self._now()
        host = await self._look_up(*key) or self._domain
        if len(self._hosts) >= _MOST_DOMAINS:
            self._hosts.clear()
        self._hosts[key] = now, host
        return host

    async def _look_up(self, organisation_id: UUID, domain: str) -> str:
        parameters = {"organisation": organisation_id, "names": _upwards(domain)}
        while True:
            try:
                async with self._connection.use() as connection:
                    cursor = await connection.execute(HOST, parameters)
                    row: Any = await cursor.fetchone()
                return str(row[0]) if row else ""
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                # Whoever asks holds a lease and renews it: no try is used up meanwhile.
                await asyncio.sleep(RETRY_SECONDS)


def _upwards(domain: str) -> list[str]:
    """Return a name and those above it, but for the last label."""
    labels = domain.split(".")
    return [".".join(labels[place:]) for place in range(max(1, len(labels) - 1))]


def returning_to(sender: str, given: Envelope) -> Envelope:
    """Return an envelope whose reports come back here.

    What the client wished to be told is then this service's to tell, so the wishes stay here. Of
    the mail only the headers shall come back. The address as it was given goes along (RFC 3461
    §4.2), because many servers report another one.
    """
    return replace(
        given,
        sender=sender,
        ret="HDRS",
        envid="",
        recipients=tuple(
            replace(one, notify="", orcpt=one.orcpt or _original(one)) for one in given.recipients
        ),
    )


def _original(recipient: Recipient) -> str:
    """Return an ORCPT parameter (RFC 3461 §4.2); for what is not ASCII none (RFC 6533 §4.1)."""
    if not recipient.address.isascii():
        return ""
    return "rfc822;" + "".join(
        character if "!" <= character <= "~" and character not in "+=" else f"+{ord(character):02X}"
        for character in recipient.address
    )
