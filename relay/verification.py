# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looks at a domain's records: the one that proves whose it is, and with it all the others.

The proof is a TXT record that only the owner can write. Sending goes on for GRACE after it was last
seen (`verified_at`); then the name is free. Name servers that do not answer say nothing: the name
stays whose it is, and mail from it is put off after GRACE (senders.py).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import F, Prefetch, Q, QuerySet

from accounts import audit
from accounts.models import User
from accounts.turns import turn
from relay import dkimkeys, failing, records
from relay.models import DkimKey, SendingDomain
from relay.nameservers import Ask, Unreachable, asker
from relay.records import Kind, Looks, Place, Wanted
from relay.smtp.published import Finding, Seen

logger = logging.getLogger(__name__)

State = SendingDomain.State
Reason = SendingDomain.Reason

LABEL = "_brevdue"
GRACE = timedelta(hours=72)
# Every domain is looked at once an hour; beat asks every five minutes.
AGAIN = timedelta(minutes=55)
# One that is not proven: so many times, which is two weeks; then once a day for a month. After
# that it waits for a person, because most names that were never proven are abandoned.
OFTEN = 14 * 24
RARELY = timedelta(hours=23, minutes=55)
CHECKS = OFTEN + 30
# The worker has other duties, and each silent name costs several times LOOKUP_SECONDS.
RUN_SECONDS = 30.0
AT_ONCE = 50
MOST = 1000
# RFC 2606 §2, RFC 6761 §6: nobody can own these names, so nobody is harmed by believing it.
RESERVED = (".example", ".test")


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to: why the domain is not proven, or NONE or DEVELOPMENT; and the rest."""

    reason: Reason
    records: Looks


def record(domain: SendingDomain) -> Wanted:
    """Return what the owner has to publish."""
    return Wanted(name=f"{LABEL}.{domain.name}", type="TXT", value=domain.token)


def add(organisation_id: UUID, name: str, now: datetime) -> SendingDomain:
    """Begin to prove a domain; `name` is a lower-case A-label. Raises IntegrityError when known."""
    domain = SendingDomain(
        organisation_id=organisation_id, name=name, token=secrets.token_hex(16), created_at=now
    )
    domain.save(force_insert=True)
    return domain


def find(domain: SendingDomain, ask: Ask | None = None) -> Looked:
    """Ask for all records of a domain. No event loop may run in this thread.

    `domain.keys` is read, so fetch the row `with_keys`; no transaction should be open meanwhile.
    """
    return asyncio.run(_look(domain, ask or asker()))


def with_keys(rows: QuerySet[SendingDomain]) -> QuerySet[SendingDomain]:
    """Return the domains with those keys whose records are looked for."""
    live = DkimKey.objects.filter(retired_at=None)
    return rows.prefetch_related(Prefetch("keys", live))


async def _look(domain: SendingDomain, ask: Ask) -> Looked:
    keys = list(domain.keys.all())
    if _is_development(domain.name):
        believed = {Place(Kind.DKIM, key.id): Seen(finding=Finding.FOUND) for key in keys}
        return Looked(Reason.DEVELOPMENT, believed)
    reason, seen = await asyncio.gather(_missing(domain, ask), records.look(domain, keys, ask))
    return Looked(reason, seen)


def settle(
    domain: SendingDomain, looked: Looked, now: datetime, *, by: User | None = None
) -> SendingDomain:
    """Write what was found, and let signing keys begin or stop; call it where the row is held.

    `by` is who asked for the look, None when nobody did.
    """
    before = copy(domain)
    # Who asks is waiting for the records: they are looked for often again.
    domain.checks = 0 if by else min(domain.checks + 1, CHECKS)
    _settle_proof(domain, looked.reason, now)
    live = set(domain.keys.filter(retired_at=None).values_list("id", flat=True))
    # A key may have gone while its record was looked for.
    seen = {place: it for place, it in looked.records.items() if place.key_id in {None, *live}}
    records.write(domain, seen, now)
    keys = dkimkeys.settle(domain, seen, now, is_asked=by is not None)
    if by is None:
        failing.tell(before, domain, keys.stopped)
    if domain.state != before.state:
        audit.record(by, f"domain.{domain.state}", domain, ["state"])
    for key in keys.stopped:
        audit.record(by, "key.pending", key, ["signs_since"])
    for key in keys.started:
        audit.record(by, "key.rotated", key, ["signs_since"])
    return domain


def _settle_proof(domain: SendingDomain, reason: Reason, now: datetime) -> None:
    if reason in (Reason.NONE, Reason.DEVELOPMENT):
        _write(domain, now, State.VERIFIED, reason)
    else:
        _write(domain, now, _state_without_proof(domain, reason, now), reason)


def _is_development(name: str) -> bool:
    return settings.RELAY_DEVELOPMENT_DOMAINS and f".{name}".endswith(RESERVED)


async def _missing(domain: SendingDomain, ask: Ask) -> Reason:
    wanted = record(domain)
    try:
        values = await ask(wanted.name, wanted.type)
    except Unreachable:
        return Reason.UNREACHABLE
    if not values:
        return Reason.NOT_FOUND
    return Reason.NONE if wanted.value in values else Reason.WRONG_VALUE


def _state_without_proof(domain: SendingDomain, reason: Reason, now: datetime) -> State:
    if reason is Reason.UNREACHABLE:
        return State(domain.state)
    proven = domain.state in (State.VERIFIED, State.FAILING) and domain.verified_at
    return State.FAILING if proven and now - proven < GRACE else State.PENDING


def _write(domain: SendingDomain, now: datetime, state: State, reason: Reason) -> None:
    domain.state, domain.reason, domain.checked_at = state, reason, now
    if reason in (Reason.NONE, Reason.DEVELOPMENT):
        domain.verified_at = now
    checks, domain.checks = domain.checks, domain.checks if state is State.PENDING else 0
    fields = ["state", "reason", "checked_at", "verified_at", "checks"]
    try:
        with transaction.atomic():
            domain.save(update_fields=fields)
    except IntegrityError:
        # The record is right, but somebody else holds the proof; row-level security hides who.
        domain.state, domain.reason, domain.verified_at = State.PENDING, Reason.TAKEN, None
        domain.checks = checks
        domain.save(update_fields=fields)


def recheck(now: datetime, ask: Ask | None = None) -> int:
    """Look at the domains whose time has come, across organisations; returns how many.

    Role duty, and in one worker at a time. AT_ONCE are asked for together, so that silent name
    servers hold up nobody else's; none is begun after RUN_SECONDS, and the next run goes on with
    those that waited longest. Call it outside a transaction, as `domains.check`.
    """
    with turn("recheck-domains") as mine:
        if not mine:
            return 0
        dkimkeys.forget_secrets(now)
        looks = asyncio.run(_looks(list(_due(now)), ask or asker()))
        return sum(_recheck(domain, looked, now) for domain, looked in looks)


async def _looks(domains: list[SendingDomain], ask: Ask) -> list[tuple[SendingDomain, Looked]]:
    places, ends_at = asyncio.Semaphore(AT_ONCE), time.monotonic() + RUN_SECONDS

    async def look(domain: SendingDomain) -> tuple[SendingDomain, Looked] | None:
        async with places:
            return (domain, await _look(domain, ask)) if time.monotonic() < ends_at else None

    found = await asyncio.gather(*map(look, domains), return_exceptions=True)
    for fault in found:
        if isinstance(fault, BaseException):
            # What one domain's name servers say must not keep all others from being looked at.
            logger.error("recheck: a look: %s", type(fault).__name__)
    return [one for one in found if isinstance(one, tuple)]


def _due(now: datetime) -> QuerySet[SendingDomain]:
    rows = SendingDomain.objects.exclude(state=State.PENDING, checks__gte=CHECKS)
    if settings.RELAY_DEVELOPMENT_DOMAINS:
        rows = rows.exclude(reduce(or_, (Q(name__endswith=suffix) for suffix in RESERVED)))
    rarely = Q(state=State.PENDING, checks__gte=OFTEN)
    due = rows.filter(
        Q(checked_at=None)
        | ~rarely & Q(checked_at__lte=now - AGAIN)
        | rarely & Q(checked_at__lte=now - RARELY)
    )
    return with_keys(due.order_by(F("checked_at").asc(nulls_first=True)))[:MOST]


def _recheck(seen: SendingDomain, looked: Looked, now: datetime) -> bool:
    """Write what was found, unless the domain was removed or checked by a person meanwhile."""
    try:
        with transaction.atomic():
            row = SendingDomain.objects.select_for_update().filter(pk=seen.pk).first()
            if row is None or row.checked_at != seen.checked_at:
                return False
            settle(row, looked, now)
    except (IntegrityError, DataError) as fault:
        # One domain must not keep the proofs of all others from being looked at.
        logger.error("recheck: domain %s: %s", seen.pk, type(fault).__name__)
        return False
    return True
