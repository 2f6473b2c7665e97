# SPDX-License-Identifier: AGPL-3.0-or-later
"""Proof that a sending domain is the organisation's: a TXT record that only its owner can write.

Sending goes on for GRACE after the proof was last seen (`verified_at`); then the name is free.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import dns.exception
import dns.resolver
from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from accounts.turns import turn
from relay.models import SendingDomain
from relay.nameservers import nameserver

logger = logging.getLogger(__name__)

State = SendingDomain.State
Reason = SendingDomain.Reason

LABEL = "_brevdue"
GRACE = timedelta(hours=72)
LOOKUP_SECONDS = 5.0
# Every domain is looked at once an hour; beat asks every five minutes.
AGAIN = timedelta(minutes=55)
# The worker has other duties, and silent name servers cost LOOKUP_SECONDS for each name.
RUN_SECONDS = 30.0
MOST = 1000
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
    """Check proven domains whose last look is AGAIN ago, across organisations; returns how many.

    Role duty, and in one worker at a time. Ends after RUN_SECONDS: those that waited longest come
    first, and the next run goes on. Call it outside a transaction, as `domains.check`.
    """
    ask = lookup or resolver_lookup()
    with turn("recheck-domains") as mine:
        ends_at = time.monotonic() + RUN_SECONDS
        count = 0
        for domain in _due(now) if mine else ():
            if time.monotonic() >= ends_at:
                break
            count += _recheck(domain, find(domain, ask), now)
    return count


def _due(now: datetime) -> QuerySet[SendingDomain]:
    proven = SendingDomain.objects.filter(state__in=[State.VERIFIED, State.FAILING])
    if settings.RELAY_DEVELOPMENT_DOMAINS:
        proven = proven.exclude(reason=Reason.DEVELOPMENT)
    due = proven.filter(Q(checked_at=None) | Q(checked_at__lte=now - AGAIN))
    return due.order_by(F("checked_at").asc(nulls_first=True))[:MOST]


def _recheck(seen: SendingDomain, reason: Reason, now: datetime) -> bool:
    """Write what was found, unless the domain was removed or checked by a person meanwhile."""
    try:
        with transaction.atomic():
            row = SendingDomain.objects.select_for_update().filter(pk=seen.pk).first()
            if row is None or row.checked_at != seen.checked_at:
                return False
            settle(row, reason, now)
    except (IntegrityError, DataError) as fault:
        # One domain must not keep the proofs of all others from being looked at.
        logger.error("recheck: domain %s: %s", seen.pk, type(fault).__name__)
        return False
    return True


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
