# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reports of providers as they arrive: whose they are, and kept sealed; esptaking.py goes on.

Reports that are in the log are deleted at once. What cannot be written there, because its mail is
on its way all that time, goes after KEPT_HOURS.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.http import HttpRequest

from accounts import limits
from accounts.limits import MINUTE, Limit
from accounts.tenancy import organisation_context
from accounts.vault import VaultError
from relay.esp import events
from relay.esp.providers import PROVIDERS, Keys
from relay.espaccounts import HOOK_LENGTH, hook_hash, secret
from relay.models import EspEvent, Route
from relay.suppressing import normalised

LARGEST = 1024 * 1024  # octets of one request
KEPT_HOURS = 36
REPORTS = Limit("esp-reports", ((1_200, MINUTE),))
# That a provider reports is written so often at most.
SEEN_EVERY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Hook:
    """Whose reports come to an address."""

    route_id: UUID
    organisation_id: UUID
    provider: str


def find(made: str) -> Hook | None:
    """Return whose address holds this secret. Needs no context: it says which one comes next."""
    if len(made) != HOOK_LENGTH:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT route_id, organisation_id, provider FROM relay_find_hook(%s)",
            [hook_hash(made)],
        )
        row = cursor.fetchone()
    return Hook(*row) if row else None


def keep(hook: Hook, request: HttpRequest, now: datetime) -> None:
    """Keep what a request reports, until it is in the log.

    Raises limits.TooMany, events.Untrusted, events.Unreadable.
    """
    limits.check(REPORTS, str(hook.route_id))
    with organisation_context(hook.organisation_id):
        route = Route.objects.for_organisation(hook.organisation_id).get(pk=hook.route_id)
        found = events.read(PROVIDERS[hook.provider], request, Keys.split(secret(route)))
        if found:
            sealed = events.seal(found, hook.organisation_id)
            whose = {"organisation_id": hook.organisation_id, "route_id": hook.route_id}
            EspEvent(received_at=now, sealed=sealed, **whose).save(force_insert=True)
        _note(hook, now)


def _note(hook: Hook, now: datetime) -> None:
    old = Q(hook_seen_at=None) | Q(hook_seen_at__lt=now - SEEN_EVERY)
    routes = Route.objects.for_organisation(hook.organisation_id).filter(old, pk=hook.route_id)
    routes.update(hook_seen_at=now)


def rows_about(address: str) -> list[UUID]:
    """Return the rows that tell of mail to an address. Opens every one. Role `duty`."""
    rows = EspEvent.objects.values_list("id", "organisation_id", "sealed")
    return [key for key, owner, sealed in rows if _is_about(address, owner, bytes(sealed))]


def _is_about(address: str, organisation_id: UUID, sealed: bytes) -> bool:
    try:
        found = events.unseal(sealed, organisation_id)
    except VaultError:
        # Nobody can read it, so it is about nobody; KEPT_HOURS ends it.
        return False
    return any(normalised(event.recipient) == normalised(address) for event in found)
