# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may send what, as the database said it at most two seconds ago."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from relay.queue import HotConnection
from relay.smtp.addresses import within
from relay.smtp.controls import PROFILES
from relay.smtp.networks import Network, NetworkTable, is_listed, network
from relay.suppressing import fingerprint
from relay.verification import GRACE

# With the time a client takes to its next MAIL this keeps the promise that a revoked credential
# is dead everywhere within 5 seconds.
FRESH_SECONDS = 2.0
_MOST_SENDERS = 20_000
_LONGEST_USERNAME = 40  # of the column
# Most networks are the same at each look; the memory is a few MB.
_parsed = lru_cache(maxsize=65_536)(network)

# A name whose record has gone missing keeps its right for a while after it was last seen. Whoever
# proves a name below another's has it for themselves (the range is "ends in a dot and the name").
# The proof of a name in development is of no DNS, and has no age.
SENDER = """
SELECT c.id, c.organisation_id, c.secret_hash, c.rate_per_minute, c.daily_cap, c.mode = 'sandbox',
    o.standing, o.sending_allowed, o.sending_reason, c.recipients_a_day, c.blocked_at IS NOT NULL,
    c.by_network, c.networks::text[], c.domains::text[],
    ARRAY(SELECT d.name::text FROM relay_sendingdomain d
        WHERE d.organisation_id = c.organisation_id AND d.state IN ('verified', 'failing')
            AND (d.verified_at > %(proven)s OR d.reason = 'development')),
    ARRAY(SELECT d.name::text FROM relay_sendingdomain d
        WHERE d.organisation_id = c.organisation_id AND d.verified_at <= %(proven)s
            AND (d.state = 'verified' AND d.reason <> 'development'
                OR d.state = 'failing' AND d.reason = 'unreachable')),
    ARRAY(SELECT below.name::text FROM relay_sendingdomain d JOIN relay_sendingdomain below
            ON reverse(below.name) ~>=~ (reverse(d.name) || '.')
            AND reverse(below.name) ~<~ (reverse(d.name) || '/')
        WHERE d.organisation_id = c.organisation_id AND below.organisation_id <> c.organisation_id
            AND below.state IN ('verified', 'failing')),
    EXISTS (SELECT FROM relay_suppression s WHERE s.organisation_id = c.organisation_id),
    ARRAY(SELECT r.domain FROM relay_review r
        WHERE r.organisation_id = c.organisation_id AND r.decision <> 'resumed'),
    (SELECT l.profile FROM relay_logchoice l WHERE l.organisation_id = c.organisation_id),
    ARRAY(SELECT n.address_hash FROM relay_restriction n
        WHERE n.organisation_id = c.organisation_id AND n.lifted_at IS NULL)
FROM relay_credential c JOIN accounts_organisation o ON o.id = c.organisation_id
WHERE c.username = %(username)s AND c.revoked_at IS NULL
"""
# Few rows, by an index of their own: one look for all strangers of FRESH_SECONDS. Who has proven no
# domain can send nothing, so what they name is nobody's business.
BY_NETWORK = """
SELECT username, networks::text[] FROM relay_credential c
WHERE by_network AND revoked_at IS NULL AND blocked_at IS NULL
    AND EXISTS (SELECT FROM relay_sendingdomain d WHERE d.organisation_id = c.organisation_id
        AND d.state IN ('verified', 'failing'))
"""
# What an organisation asks to be left alone by, or one of its domains.
SUPPRESSED = """
SELECT EXISTS (SELECT FROM relay_suppression
    WHERE organisation_id = %(organisation)s AND address_hash = %(hash)s
        AND domain = ANY(%(domains)s) AND (expires_at IS NULL OR expires_at > %(now)s))
"""
USED = """
UPDATE relay_credential SET last_used_at = %s WHERE id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Sender:
    """A credential in force, its organisation's standing and the domains proven to be theirs."""

    credential_id: UUID
    organisation_id: UUID
    secret_hash: bytes = field(repr=False)
    rate_per_minute: int
    daily_cap: int
    is_sandbox: bool
    standing: str
    sending_allowed: bool
    sending_reason: str
    domains: frozenset[str]  # A-labels in lower case
    delegated: frozenset[str]  # names below them that other organisations have proven
    # Proven, but nobody has seen the record for longer than a proof counts, nor seen it gone.
    unchecked: frozenset[str] = frozenset()
    recipients_a_day: int | None = None
    is_blocked: bool = False
    by_network: bool = False
    networks: tuple[Network, ...] = ()  # none: from anywhere
    own_domains: frozenset[str] = frozenset()  # none: from each of the organisation's
    suppresses: bool = False  # whether there is any address that it sends nothing to
    # Those whose mail is stopped until a person has looked, because much of it came back.
    stopped: frozenset[str] = frozenset()
    profile: str = PROFILES[0]  # how much of its mail is logged
    restricted: frozenset[bytes] = frozenset()  # fingerprints of addresses it must not use

    def owns(self, domain: str) -> bool:
        """Whether mail may come from this domain.

        A credential's own domains narrow what its organisation has proven, and never widen it.
        """
        return self._may_use(domain, self.domains)

    def awaits_check(self, domain: str) -> bool:
        """Whether mail may come from this domain once its record is found to be still there."""
        return self._may_use(domain, self.unchecked)

    def _may_use(self, domain: str, proven: frozenset[str]) -> bool:
        return within(domain, proven, self.delegated) and (
            not self.own_domains or within(domain, self.own_domains)
        )

    def must_not_use(self, address: str) -> bool:
        """Whether an address is restricted at its organisation (GDPR article 18)."""
        return bool(self.restricted) and (
            fingerprint(self.organisation_id, address) in self.restricted
        )

    def admits(self, address: str) -> bool:
        """Whether it may be used from this network address."""
        return not self.networks or is_listed(address, self.networks)


class Senders:
    """Look-ups by user name, each kept for FRESH_SECONDS; unknown names as well, but for those
    that are too long to be one.
    """

    def __init__(
        self,
        dsn: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` is what proofs are measured by, `clock` what the age of an answer is."""
        self._connection = HotConnection(dsn)
        self._now = now
        self._clock = clock
        self._known: dict[str, tuple[float, Sender | None]] = {}
        self._asking = asyncio.Lock()  # one connection serves one statement at a time
        self._used: set[UUID] = set()
        self._by_network: tuple[float, NetworkTable] = (0.0, NetworkTable())
        self._reading_networks = asyncio.Lock()

    async def found_at(self, address: str, domain: str | None) -> str | None:
        """Return the user name of the one credential that mail of this domain from this address
        needs no secret for; None: whatever its domain is. Raises as `find` does.

        Anybody may name any network, but a domain has one owner: naming another's network takes no
        mail from them. Among one organisation's credentials the most specific network decides; two
        that name the same one could differ in what becomes of the mail, so neither is meant.
        """
        fitting = await self._fitting_at(address, domain)
        owners = _owners(fitting)
        is_plain = len(owners) == 1 and len(fitting[0]) == 1
        return next(iter(fitting[0])) if is_plain else None

    async def owners_at(self, address: str) -> frozenset[UUID]:
        """Return the organisations whose credentials need no secret at this address.

        Raises as `find` does.
        """
        return _owners(await self._fitting_at(address, None))

    async def _fitting_at(self, address: str, domain: str | None) -> list[dict[str, Sender]]:
        named = [await self._fitting(names, domain) for names in await self._named_at(address)]
        return [senders for senders in named if senders]

    async def _fitting(self, usernames: set[str], domain: str | None) -> dict[str, Sender]:
        senders = {name: await self.find(name) for name in usernames}
        return {
            name: sender
            for name, sender in senders.items()
            if sender and (domain is None or sender.owns(domain) or sender.awaits_check(domain))
        }

    async def names_at(self, address: str, username: str) -> bool:
        """Whether a credential needs no secret at this address. Raises as `find` does."""
        return any(username in names for names in await self._named_at(address))

    async def _named_at(self, address: str) -> list[set[str]]:
        if self._clock() >= self._by_network[0]:
            async with self._reading_networks:
                if self._clock() >= self._by_network[0]:
                    self._by_network = await self._read_networks()
        return self._by_network[1].around(address)

    async def _read_networks(self) -> tuple[float, NetworkTable]:
        until = self._clock() + FRESH_SECONDS
        async with self._asking, self._connection.use() as connection:
            cursor = await connection.execute(BY_NETWORK, prepare=True, binary=True)
            rows = await cursor.fetchall()
        table = NetworkTable()
        for username, networks in rows:
            for text in networks:
                table.add(_parsed(text), username)
            await asyncio.sleep(0)  # others' mail goes on, however many there are
        return until, table

    async def find(self, username: str) -> Sender | None:
        """The sender, or None. Raises what HotConnection.use raises when the database is away."""
        known = self._fresh(username)
        if known is None:
            async with self._asking:
                known = self._fresh(username) or await self._read(username)
        return known[1]

    def _fresh(self, username: str) -> tuple[float, Sender | None] | None:
        known = self._known.get(username)
        return known if known and self._clock() < known[0] else None

    async def _read(self, username: str) -> tuple[float, Sender | None]:
        until = self._clock() + FRESH_SECONDS
        # What the column cannot hold is asked for as well, cut: an unknown name costs the same.
        wanted = username[:_LONGEST_USERNAME].replace("\0", "")
        async with self._connection.use() as connection:
            parameters = {"username": wanted, "proven": self._now() - GRACE}
            cursor = await connection.execute(SENDER, parameters, prepare=True, binary=True)
            row = await cursor.fetchone()
        sender = _sender(row) if row and wanted == username else None
        self._keep(username, until, sender)
        return until, sender

    def _keep(self, username: str, until: float, sender: Sender | None) -> None:
        """Keep an answer while it is fresh; the oldest is in front."""
        now = self._clock()
        while self._known and next(iter(self._known.values()))[0] <= now:
            del self._known[next(iter(self._known))]
        if len(username) > _LONGEST_USERNAME:
            return  # nobody's, and of any size
        if len(self._known) >= _MOST_SENDERS:
            self._known.clear()
        self._known[username] = until, sender

    async def suppresses(self, sender: Sender, domain: str, address: str) -> bool:
        """Whether mail from a domain (A-label, or "") must not go to an address.

        Raises as `find` does.
        """
        if not sender.suppresses:
            return False
        values = {
            "organisation": sender.organisation_id,
            "hash": fingerprint(sender.organisation_id, address),
            "domains": ["", *_above(domain)],
            "now": self._now(),
        }
        async with self._asking, self._connection.use() as connection:
            cursor = await connection.execute(SUPPRESSED, values, prepare=True, binary=True)
            row = await cursor.fetchone()
        return bool(row and row[0])

    def note_use(self, sender: Sender) -> None:
        """Remember that the credential was used; `write_uses` tells the database."""
        self._used.add(sender.credential_id)

    async def write_uses(self, now: datetime) -> None:
        """Tell the database which credentials were used since the last call."""
        used, self._used = self._used, set()
        if used:
            async with self._asking, self._connection.use() as connection:
                await connection.execute(USED, [now, list(used)])

    async def close(self) -> None:
        """Drop the connection."""
        await self._connection.close()


def _above(domain: str) -> list[str]:
    """Return a domain and the names above it but the last: mail of each is mail of the domain."""
    labels = domain.split(".") if domain else []
    return [".".join(labels[start:]) for start in range(len(labels) - 1)]


def _owners(fitting: list[dict[str, Sender]]) -> frozenset[UUID]:
    return frozenset(who.organisation_id for senders in fitting for who in senders.values())


def _sender(row: tuple[Any, ...]) -> Sender:
    credential, organisation, secret_hash, rate, cap, sandbox, *more = row
    standing, allowed, reason, recipients, blocked, by_network, networks, own, *rest = more
    domains, unchecked, below, suppresses, stopped, profile, restricted = rest
    return Sender(
        credential_id=credential,
        organisation_id=organisation,
        secret_hash=bytes(secret_hash),
        rate_per_minute=rate,
        daily_cap=cap,
        is_sandbox=sandbox,
        standing=standing,
        sending_allowed=allowed,
        sending_reason=reason,
        domains=frozenset(domains),
        delegated=frozenset(below),
        unchecked=frozenset(unchecked),
        recipients_a_day=recipients,
        is_blocked=blocked,
        by_network=by_network,
        networks=tuple(map(network, networks)),
        own_domains=frozenset(own),
        suppresses=suppresses,
        stopped=frozenset(stopped),
        profile=profile or PROFILES[0],
        restricted=frozenset(map(bytes, restricted)),
    )
