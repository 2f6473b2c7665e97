# SPDX-License-Identifier: AGPL-3.0-or-later
"""Proof that a sending domain is the organisation's: a TXT record that only its owner can write.

Sending goes on for GRACE after the proof was last seen (`verified_at`); then the name is free.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import dns.exception
import dns.resolver
from django.conf import settings
from django.db import IntegrityError, transaction

from relay.models import SendingDomain
from relay.nameservers import nameserver

State = SendingDomain.State
Reason = SendingDomain.Reason

LABEL = "_brevdue"
GRACE = timedelta(hours=72)
LOOKUP_SECONDS = 5.0
# RFC 2606 §2, RFC 6761 §6: nobody can own these names, so nobody is harmed by believing it.
RESERVED = (".example", ".test")

Lookup = Callable[[str], list[str]]


class Unreachable(Exception):
    """The name servers gave no answer; that says nothing about the record."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the owner has to publish."""

    name: str
    value: str


def record(domain: SendingDomain) -> Record:
    return Record(f"{LABEL}.{domain.name}", domain.token)


def add(organisation_id: UUID, name: str, now: datetime) -> SendingDomain:
    """Begin to prove a domain; `name` is a lower-case A-label. Raises IntegrityError when known."""
    domain = SendingDomain(
        organisation_id=organisation_id, name=name, token=secrets.token_hex(16), created_at=now
    )
    domain.save(force_insert=True)
    return domain


def check(domain: SendingDomain, now: datetime, lookup: Lookup | None = None) -> SendingDomain:
    """Look for the record and write what was found; call it where the domain's row is seen."""
    return settle(domain, find(domain, lookup), now)


def find(domain: SendingDomain, lookup: Lookup | None = None) -> Reason:
    """Ask for the record; return why it is no proof: NONE or DEVELOPMENT when it is one."""
    if _is_development(domain.name):
        return Reason.DEVELOPMENT
    return _missing(domain, lookup or resolver_lookup())


def settle(domain: SendingDomain, reason: Reason, now: datetime) -> SendingDomain:
    """Write what `find` returned; call it where the domain's row is seen."""
    if reason in (Reason.NONE, Reason.DEVELOPMENT):
        return _write(domain, now, State.VERIFIED, reason)
    return _write(domain, now, _state_without_proof(domain, now), reason)


def _is_development(name: str) -> bool:
    return settings.RELAY_DEVELOPMENT_DOMAINS and f".{name}".endswith(RESERVED)


def _missing(domain: SendingDomain, lookup: Lookup) -> Reason:
    wanted = record(domain)
    try:
        values = lookup(wanted.name)
    except Unreachable:
        return Reason.UNREACHABLE
    if not values:
        return Reason.NOT_FOUND
    return Reason.NONE if wanted.value in values else Reason.WRONG_VALUE


def _state_without_proof(domain: SendingDomain, now: datetime) -> State:
    proven = domain.state in (State.VERIFIED, State.FAILING) and domain.verified_at
    return State.FAILING if proven and now - proven < GRACE else State.PENDING


def _write(domain: SendingDomain, now: datetime, state: State, reason: Reason) -> SendingDomain:
    domain.state, domain.reason, domain.checked_at = state, reason, now
    if state is State.VERIFIED:
        domain.verified_at = now
    fields = ["state", "reason", "checked_at", "verified_at"]
    try:
        with transaction.atomic():
            domain.save(update_fields=fields)
    except IntegrityError:
        # The record is right, but somebody else holds the proof; row-level security hides who.
        domain.state, domain.reason, domain.verified_at = State.PENDING, Reason.TAKEN, None
        domain.save(update_fields=fields)
    return domain


def recheck(now: datetime, lookup: Lookup | None = None) -> int:
    """Check every domain that was proven, across organisations (role duty); returns how many."""
    proven = SendingDomain.objects.filter(state__in=[State.VERIFIED, State.FAILING])
    if settings.RELAY_DEVELOPMENT_DOMAINS:
        proven = proven.exclude(reason=Reason.DEVELOPMENT)
    ask = lookup or resolver_lookup()
    domains = list(proven)
    for domain in domains:
        check(domain, now, ask)
    return len(domains)


def resolver_lookup() -> Lookup:
    """Return a look-up of TXT records at RELAY_RESOLVER, or at the system's name servers."""
    resolver = dns.resolver.Resolver(configure=not settings.RELAY_RESOLVER)
    if settings.RELAY_RESOLVER:
        resolver.nameservers = [nameserver(server) for server in settings.RELAY_RESOLVER]
    resolver.lifetime = LOOKUP_SECONDS

    def lookup(name: str) -> list[str]:
        try:
            answer = resolver.resolve(name, "TXT")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.DNSException as fault:
            raise Unreachable(type(fault).__name__) from None
        # RFC 7208 §3.3 for TXT in general: the strings of one record are one value.
        return [b"".join(item.strings).decode("ascii", "replace") for item in answer]

    return lookup
