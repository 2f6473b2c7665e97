# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signs mail on its way out with the keys of its author's domain (DKIM; the form: smtp/dkim.py).

Here and not where mail comes in: that process never holds a private key, and mail that waited goes
out under the key that signs now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
from django.db import connection as django_connection
from django.db.utils import InterfaceError, OperationalError

from accounts import vault
from accounts.vault import VaultError
from relay.dkimkeys import SECRET_PURPOSE
from relay.models import Route
from relay.queue import HotConnection, Work
from relay.smtp import dkim
from relay.smtp.dkim import Secret, SigningKey
from relay.smtp.headers import author_domain
from relay.transports import RouteTarget

logger = logging.getLogger(__name__)

# A key signs, or signs no more, so much later at most; a retired one's record stays for days.
FRESH_SECONDS = 60.0
RETRY_SECONDS = 0.3
_MOST_DOMAINS = 10_000

# The author's own name, or the nearest above it that has a key: what is published there is
# aligned with each name below it (RFC 9989 §4.4). RSA first: who checks one signature can do that.
KEYS = """
SELECT d.name, k.id, k.selector, s.sealed
FROM relay_sendingdomain d
JOIN relay_dkimkey k ON k.domain_id = d.id
JOIN relay_dkimsecret s ON s.key_id = k.id
WHERE d.organisation_id = %(organisation)s AND d.name = ANY(%(names)s)
    AND d.state IN ('verified', 'failing')
    AND k.signs_since IS NOT NULL AND k.retired_at IS NULL
ORDER BY length(d.name) DESC, k.algorithm DESC
"""

Owner = tuple[UUID, str]  # an organisation and a name


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key that signs, as it is stored."""

    domain: str
    id: UUID
    selector: str
    sealed: bytes = field(repr=False)


class DomainSigner:
    """Signs for every organisation whose mail this process carries; see Signer."""

    def __init__(
        self,
        dsn: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`now` is what signatures say, `clock` what the age of an answer is measured by."""
        self._connection = HotConnection(dsn)
        self._now = now
        self._clock = clock
        self._asking = asyncio.Lock()  # one connection serves one statement at a time
        self._known: dict[Owner, tuple[float, tuple[SigningKey, ...]]] = {}

    async def sign(self, work: Work, target: RouteTarget, content: bytes) -> bytes:
        """Return the content with the signatures of its author's domain in front, if it has keys.

        Raises VaultError when a key cannot be opened. Waits for a database that is away.
        """
        if target.kind == Route.Kind.ESP:
            return content  # taken apart and signed by the provider
        keys = await self._keys((work.organisation_id, author_domain(content)))
        return await dkim.signed(content, keys, self._now()) if keys else content

    async def close(self) -> None:
        """Drop the connection and the keys."""
        self._known.clear()
        await self._connection.close()

    async def _keys(self, owner: Owner) -> tuple[SigningKey, ...]:
        known = self._fresh(owner)
        if known is None:
            async with self._asking:
                known = self._fresh(owner)
                if known is None:
                    known = await self._learn(owner)
        return known

    def _fresh(self, owner: Owner) -> tuple[SigningKey, ...] | None:
        until, keys = self._known.get(owner, (0.0, ()))
        return keys if self._clock() < until else None

    async def _learn(self, owner: Owner) -> tuple[SigningKey, ...]:
        until = self._clock() + FRESH_SECONDS
        keys = tuple([await _opened(owner[0], stored) for stored in await self._stored(owner)])
        self._known.pop(owner, None)  # or it would keep its place in front
        self._forget_old()
        self._known[owner] = until, keys
        return keys

    def _forget_old(self) -> None:
        """Keep no key longer than it is used; the oldest are in front."""
        while self._known and (
            len(self._known) >= _MOST_DOMAINS
            or next(iter(self._known.values()))[0] <= self._clock()
        ):
            del self._known[next(iter(self._known))]

    async def _stored(self, owner: Owner) -> list[StoredKey]:
        names = _and_above(owner[1])
        if not names:
            return []
        while True:
            try:
                async with self._connection.use() as connection:
                    parameters = {"organisation": owner[0], "names": names}
                    cursor = await connection.execute(KEYS, parameters, prepare=True)
                    return _nearest(await cursor.fetchall())
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError):
                # Whoever asks holds a lease and renews it: unsigned mail could be refused.
                await asyncio.sleep(RETRY_SECONDS)


def _and_above(domain: str) -> list[str]:
    """Return a name and those above it that somebody could own."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(len(labels) - 1)]


def _nearest(rows: list[tuple[str, UUID, str, bytes]]) -> list[StoredKey]:
    keys = [
        StoredKey(domain=name, id=key_id, selector=selector, sealed=bytes(sealed))
        for name, key_id, selector, sealed in rows
    ]
    return [key for key in keys if key.domain == keys[0].domain]


async def _opened(organisation_id: UUID, stored: StoredKey) -> SigningKey:
    while True:
        try:
            # The vault reads the organisation's key through Django, which needs a thread here; so
            # does OpenSSL, which checks an RSA key for some milliseconds.
            secret = await asyncio.to_thread(partial(_secret, organisation_id, stored))
            return SigningKey(domain=stored.domain, selector=stored.selector, secret=secret)
        except (OperationalError, InterfaceError):
            await asyncio.sleep(RETRY_SECONDS)


def _secret(organisation_id: UUID, stored: StoredKey) -> Secret:
    try:
        octets = vault.unseal(SECRET_PURPOSE, stored.sealed, organisation_id=organisation_id)
        return dkim.read(octets)
    except (ValueError, VaultError) as fault:
        logger.error("signing: key %s: %s", stored.id, type(fault).__name__)
        raise VaultError("a signing key cannot be opened") from None
    finally:
        django_connection.close()
