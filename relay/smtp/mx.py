# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which hosts take the mail of a domain, and in which order (RFC 5321 §5.1). No sockets here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from relay.smtp.replies import Scope, Verdict

# A domain may name as many hosts as it likes; nobody waits for all of them.
MAX_HOSTS = 10
MAX_ADDRESSES = 2  # of each family of a host


class NoSuchName(Exception):
    """The name servers say that the name does not exist."""


class Unanswered(Exception):
    """The name servers gave no answer; that says nothing about the name."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One MX record; the name is empty for the root, which takes no mail (RFC 7505)."""

    preference: int
    name: str


class Names(Protocol):
    """Asks the name servers. Both raise NoSuchName and Unanswered."""

    async def exchanges(self, name: str) -> Sequence[Exchange]:
        """Return the MX records, none when the name has none."""
        ...

    async def addresses(self, name: str) -> Sequence[str]:
        """Return the addresses of both families, none when the name has none."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """One that takes the domain's mail, with its addresses, at least one."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Why no host takes the domain's mail: for now, or for good."""

    verdict: Verdict
    scope: Scope
    enhanced: str  # RFC 3463
    text: str


UNKNOWN = Nowhere(
    Verdict.BOUNCED, Scope.RECIPIENT, "5.1.2", "the recipient's domain does not exist"
)
NULL = Nowhere(  # RFC 7505 §4.2
    Verdict.BOUNCED, Scope.RECIPIENT, "5.1.10", "the recipient's domain takes no mail"
)
BARE = Nowhere(
    Verdict.BOUNCED,
    Scope.INFRASTRUCTURE,
    "5.4.4",
    "the recipient's domain has neither mail server nor address",
)
LOOP = Nowhere(
    Verdict.BOUNCED,
    Scope.INFRASTRUCTURE,
    "5.4.6",
    "mail to the recipient's domain would come back here",
)
SILENT = Nowhere(
    Verdict.RETRY,
    Scope.INFRASTRUCTURE,
    "4.4.3",
    "the name servers of the recipient's domain did not answer",
)
ADDRESSLESS = Nowhere(
    Verdict.RETRY,
    Scope.INFRASTRUCTURE,
    "4.4.4",
    "no mail server of the recipient's domain has an address that can be used",
)

# As it stands in certificates and in the log; an underscore is no host name, but is in use.
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?")


async def hosts(
    domain: str,
    names: Names,
    *,
    is_ours: Callable[[str, Sequence[str]], bool],
    random: Callable[[], float],
) -> AsyncGenerator[Host | Nowhere, None]:
    """Yield the hosts as they are to be tried; then Nowhere, if there are none or one is unknown.

    `domain` is an A-label. Those of one preference are looked up together, and only once all
    before them have been yielded. Where `is_ours` says of a name with its addresses that it is
    this service, it is left out with all that are not preferred to it: the mail would come back.
    """
    groups, nowhere = await _groups(domain, names, random)
    is_found = is_silent = False
    for group in groups:
        found = await asyncio.gather(*(_addresses(names, name) for name in group))
        if any(is_ours(name, some or ()) for name, some in zip(group, found, strict=True)):
            nowhere = LOOP
            break
        for name, some in zip(group, found, strict=True):
            if some:
                is_found = True
                yield Host(name, some)
            elif some is None:
                is_silent = True
    # Whatever the others say, the mail does not end while one of them was not heard of.
    if is_silent or not is_found:
        yield SILENT if is_silent else nowhere


async def _groups(
    domain: str, names: Names, random: Callable[[], float]
) -> tuple[tuple[tuple[str, ...], ...], Nowhere]:
    """Return the names by preference, and why there is no host if none of them is one."""
    try:
        found = await names.exchanges(domain)
    except NoSuchName:
        return (), UNKNOWN
    except Unanswered:
        return (), SILENT
    if not found:
        # RFC 5321 §5.1: without any MX, the domain is its own mail server.
        return ((domain,),), BARE
    if not any(exchange.name for exchange in found):
        return (), NULL
    return ordered(found, random), ADDRESSLESS


def ordered(
    exchanges: Iterable[Exchange], random: Callable[[], float]
) -> tuple[tuple[str, ...], ...]:
    """Return the names, grouped by preference, in random order among equals, MAX_HOSTS in all."""
    chosen: dict[str, int] = {}
    for exchange in sorted(exchanges, key=lambda one: (one.preference, random())):
        name = exchange.name.lower()
        if _NAME.fullmatch(name) and len(chosen) < MAX_HOSTS:
            chosen.setdefault(name, exchange.preference)
    return tuple(tuple(group) for _, group in groupby(chosen, key=lambda name: chosen[name]))


async def _addresses(names: Names, name: str) -> tuple[str, ...] | None:
    """Return the addresses to try, None when nobody answered."""
    try:
        found = await names.addresses(name)
    except NoSuchName:
        return ()
    except Unanswered:
        return None
    families = ([one for one in found if (":" in one) is wide] for wide in (False, True))
    return tuple(one for family in families for one in family[:MAX_ADDRESSES])
