# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which organisations have to do with an address, a domain or a mail. Role `duty`.

What waits in the queue stands in the log as well. Each organisation is asked by itself, with an
index that begins with it: together they would be found by a walk through everybody's log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Q, Subquery

from accounts.models import Organisation
from relay import logfields
from relay.models import Delivery, Message, SendingDomain
from relay.smtp.addresses import spellings
from relay.suppressing import fingerprint, normalised

PROVEN = (SendingDomain.State.VERIFIED, SendingDomain.State.FAILING)

LISTING = """
SELECT asked.organisation FROM unnest(%s::uuid[], %s::bytea[]) AS asked (organisation, hash)
CROSS JOIN LATERAL (
    SELECT FROM relay_suppression s
    WHERE s.organisation_id = asked.organisation AND s.address_hash = asked.hash LIMIT 1
) found
"""
MAILED = """
SELECT asked.organisation FROM unnest(%s::uuid[], %s::bytea[]) AS asked (organisation, hash)
CROSS JOIN LATERAL (
    SELECT FROM relay_message m
    WHERE m.organisation_id = asked.organisation AND m.header_hash = asked.hash LIMIT 1
) found
"""


def organisations_with(spellings: Collection[str]) -> set[UUID]:
    """Return who has mail to or from an address in the log, or the address on its list.

    `spellings` are all in which mail may have written it, in lower case.
    """
    found = _with_mail(spellings)
    for address in {normalised(one) for one in spellings}:
        found |= _asked(LISTING, partial(fingerprint, address=address))
    return found


def organisations_of_mail(message_id: str) -> set[UUID]:
    """Return who has sent the mail with a Message-ID (without brackets)."""
    return _asked(MAILED, lambda one: logfields.header_hash(one, message_id))


def organisation_of_domain(name: str) -> UUID | None:
    """Return who has proven a domain, or the nearest one above it; `name` as A-label."""
    labels = name.split(".")
    names = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    rows = SendingDomain.objects.filter(name__in=names, state__in=PROVEN)
    found = sorted(rows, key=lambda row: len(row.name))
    return found[-1].organisation_id if found else None


def spelt(address: str) -> list[str]:
    """Return an address as the log may have it: in lower case, its domain in either spelling."""
    local, _, domain = normalised(address).rpartition("@")
    return [f"{local}@{name}" for name in spellings(domain)]


def _with_mail(addresses: Collection[str]) -> set[UUID]:
    of_one = {"organisation_id": OuterRef("pk")}
    got = Delivery.objects.filter(**of_one, recipient__in=addresses).values("state")[:1]
    sent = Message.objects.filter(**of_one, sender__in=addresses).values("size")[:1]
    rows = Organisation.objects.annotate(got=Subquery(got), sent=Subquery(sent))
    found = rows.filter(Q(got__isnull=False) | Q(sent__isnull=False))
    return set(found.values_list("id", flat=True))


def _asked(statement: str, hashed: Callable[[UUID], bytes | None]) -> set[UUID]:
    organisations = list(Organisation.objects.values_list("id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(statement, [organisations, [hashed(one) for one in organisations]])
        return {found for (found,) in cursor.fetchall()}
