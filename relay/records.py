# SPDX-License-Identifier: AGPL-3.0-or-later
"""The records that make mail of a domain believed: what to publish, what was seen of it and when.

None of them is demanded; the one that proves the domain is verification.py's. How each reads is in
smtp/published.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings

from relay.models import DkimKey, DomainRecord, SendingDomain
from relay.nameservers import Ask, Unreachable
from relay.smtp import published
from relay.smtp.dkim import Algorithm
from relay.smtp.published import Finding, Seen
from relay.smtp.replies import mask_addresses

Kind, State = DomainRecord.Kind, DomainRecord.State

# What has no effect is there nevertheless.
THERE = frozenset({Finding.FOUND, Finding.WEAK})
_LONGEST_SEEN = 300  # of the column
_LOOKED_AT = 1_000  # characters; an address that is cut there is mostly beyond what is kept
_UNREACHABLE = Seen(finding=Finding.UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Place:
    """Which of a domain's records; a key's has the key's id."""

    kind: DomainRecord.Kind
    key_id: UUID | None = None


Looks = Mapping[Place, Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A record as its owner publishes it."""

    name: str
    type: str
    value: str

    @property
    def is_long(self) -> bool:
        """Whether one string of a TXT record cannot hold it."""
        return self.type == "TXT" and len(self.value) > published.LONGEST_STRING

    @property
    def quoted(self) -> str:
        """The value in strings, as a zone file writes it."""
        return published.quoted(self.value)


def return_path(domain: SendingDomain) -> Wanted | None:
    """Return the record that brings failures back here; None where none can come."""
    target = settings.RELAY_BOUNCE_DOMAIN
    return Wanted(name=_returned(domain), type="CNAME", value=target) if target else None


def mail_exchange(domain: SendingDomain) -> tuple[Wanted, Wanted]:
    """Return what does the same where no alias may be: an MX record and SPF beside it."""
    name = _returned(domain)
    spf = f"v=spf1 include:{_include()} -all"
    return (
        Wanted(name=name, type="MX", value=f"10 {settings.RELAY_BOUNCE_DOMAIN}"),
        Wanted(name=name, type="TXT", value=spf),
    )


def key(domain: SendingDomain, of: DkimKey) -> Wanted:
    """Return the record of a signing key (RFC 6376 §3.6.2)."""
    value = published.key_record(Algorithm(of.algorithm), of.public)
    return Wanted(name=_selected(domain, of), type="TXT", value=value)


def dmarc(domain: SendingDomain) -> Wanted:
    """Return a suggestion that changes nothing: whoever has a policy knows better."""
    return Wanted(name=f"_dmarc.{domain.name}", type="TXT", value="v=DMARC1; p=none")


def _returned(domain: SendingDomain) -> str:
    return f"{domain.return_path}.{domain.name}"


def _selected(domain: SendingDomain, of: DkimKey) -> str:
    return f"{of.selector}._domainkey.{domain.name}"


def _include() -> str:
    # With the alias, it is the operator's own record that is read.
    return (settings.RELAY_SPF_INCLUDE or f"_spf.{settings.RELAY_BOUNCE_DOMAIN}").lower()


async def look(domain: SendingDomain, keys: Iterable[DkimKey], ask: Ask) -> Looks:
    """Ask for all records of a domain at once; `keys` are those not retired."""
    questions: dict[Place, Awaitable[Seen]] = {Place(Kind.DMARC): _policy(domain, ask)}
    if settings.RELAY_BOUNCE_DOMAIN:
        questions[Place(Kind.RETURN_PATH)] = _way_back(domain, ask)
        questions[Place(Kind.SPF)] = _senders(domain, ask)
    for one in keys:
        questions[Place(Kind.DKIM, one.id)] = _key(domain, one, ask)
    seen = await asyncio.gather(*map(_told, questions.values()))
    return dict(zip(questions, seen, strict=True))


async def _told(question: Awaitable[Seen]) -> Seen:
    try:
        return await question
    except Unreachable:
        return _UNREACHABLE


async def _way_back(domain: SendingDomain, ask: Ask) -> Seen:
    """An alias, or mail servers, of which each is the one that takes failures here."""
    name, target = _returned(domain), settings.RELAY_BOUNCE_DOMAIN.lower()
    alias = await ask(name, "CNAME")
    if alias == [target]:
        return Seen(finding=Finding.FOUND, text=target)
    servers = await ask(name, "MX")  # as well where an alias leads there by others
    if servers and set(servers) == {target}:
        return Seen(finding=Finding.FOUND, text=target)
    other = ", ".join(alias or sorted(servers))
    return Seen(finding=Finding.WRONG, text=other) if other else published.MISSING


async def _senders(domain: SendingDomain, ask: Ask) -> Seen:
    return published.senders(await ask(_returned(domain), "TXT"), _include())


async def _key(domain: SendingDomain, of: DkimKey, ask: Ask) -> Seen:
    texts = await ask(_selected(domain, of), "TXT")
    return published.key(texts, Algorithm(of.algorithm), of.public)


async def _policy(domain: SendingDomain, ask: Ask) -> Seen:
    own, *above = published.dmarc_names(domain.name)
    seen = published.dmarc([await ask(own, "TXT")])
    if seen.finding is not Finding.MISSING:
        return seen
    answers = await asyncio.gather(*(ask(name, "TXT") for name in above))
    return published.dmarc([[], *answers])


def write(domain: SendingDomain, looks: Looks, now: datetime) -> None:
    """Keep what was seen; call it where the domain's row is held."""
    known = {Place(Kind(row.kind), row.key_id): row for row in domain.records.all()}
    rows = [_row(domain, known.get(place), place, seen, now) for place, seen in looks.items()]
    DomainRecord.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["domain", "kind", "key"],
        update_fields=["state", "seen", "checked_at", "found_at"],
    )


def _row(
    domain: SendingDomain, known: DomainRecord | None, place: Place, seen: Seen, now: datetime
) -> DomainRecord:
    found_at = known.found_at if known else None
    return DomainRecord(
        organisation_id=domain.organisation_id,
        domain=domain,
        kind=place.kind,
        key_id=place.key_id,
        state=State(seen.finding),
        # Whoever runs the name servers chose it: no NUL in PostgreSQL, and no more than shown.
        # Where reports go is often somebody's address.
        seen=mask_addresses(seen.text[:_LOOKED_AT].replace("\0", ""))[:_LONGEST_SEEN],
        checked_at=now,
        found_at=now if seen.finding in THERE else found_at,
    )
