# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fetches the policy document of a recipient's domain (RFC 8461 §3.3).

Whoever sends mail chooses the domain, so the web server is reached as carefully as a mail server:
at checked addresses only, without redirects, and for a bounded time and length.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.egress import Guard
from relay.smtp import sts
from relay.smtp.mx import Names, NoSuchName, Unanswered

SECONDS = 30.0
HTTPS = 443
_HEADERS: Mapping[str, str] = {
    "Accept": "text/plain",
    # Nothing is unpacked here, so nothing can be small on the wire and large in memory.
    "Accept-Encoding": "identity",
    "User-Agent": "Brevdue",
}


class Unfetched(Exception):
    """The domain's web server gave no policy; its text says why, without anything that was read."""


class _Checked(AbstractResolver):
    """Gives aiohttp only addresses that the guard lets pass."""

    def __init__(self, names: Names, guard: Guard) -> None:
        self._names = names
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await self._names.addresses(host)
        except (NoSuchName, Unanswered) as error:
            raise OSError(type(error).__name__) from None
        usable = self._guard.usable(found, port)
        if not usable:
            raise OSError("no address that can be used")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in usable
        ]

    async def close(self) -> None:
        """Nothing is kept."""


class Fetcher:
    """Fetches policies; one connection for each."""

    def __init__(
        self, names: Names, guard: Guard, verified: ssl.SSLContext, *, port: int = HTTPS
    ) -> None:
        """`verified` checks certificates and names; a policy from anybody else binds nobody."""
        self._names = names
        self._guard = guard
        self._verified = verified
        self._port = port

    async def policy(self, domain: str) -> sts.Policy:
        """Return the policy that a domain publishes; `domain` is an A-label. Raises Unfetched."""
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self._names, self._guard),
            ssl=self._verified,
            force_close=True,
            use_dns_cache=False,
        )
        url = f"https://{sts.HOST}.{domain}:{self._port}{sts.PATH}"
        try:
            async with aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=SECONDS),
            ) as session:
                return sts.parse(await _document(session, url))
        except (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise Unfetched(type(error).__name__) from None


async def _document(session: aiohttp.ClientSession, url: str) -> bytes:
    # RFC 8461 §3.3: neither redirects nor caches count.
    async with session.get(url, allow_redirects=False, headers=_HEADERS) as response:
        if response.status != 200 or response.content_type != "text/plain":
            raise Unfetched("no document")
        found = bytearray()
        async for piece in response.content.iter_chunked(sts.MAX_OCTETS):
            found += piece
            if len(found) > sts.MAX_OCTETS:
                raise Unfetched("too long")
        return bytes(found)
