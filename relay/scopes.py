# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which waiting mail an act is about: one message, a domain's, or all of an organisation's.

Large amounts are gone through piece by piece along the index, however few of the rows are meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, Func, Q, QuerySet, TextField

from accounts import vault
from relay.models import QueuedDelivery
from relay.smtp.addresses import spellings

# Rows that are looked at in one statement, and written in one transaction.
PIECE = 5000
PURPOSE = "scope"


class RecipientDomain(Func):
    """Where mail goes: the recipient's domain in lower case with its at-sign; null without one."""

    template = "lower(substring(%(expressions)s FROM '@[^@]*$'))"
    output_field = TextField()


@dataclass(frozen=True, slots=True)
class Scope:
    """Neither message nor domain: all of it. Never more than one of them; domains are A-labels."""

    organisation_id: UUID
    message_id: UUID | None = None
    # Whose route serves it: the sender's.
    domain: str | None = None
    # Where it goes.
    recipient_domain: str | None = None

    def goes_to(self) -> list[str]:
        """Return the recipient's domain as RecipientDomain has it: what was given is kept."""
        return [f"@{name}" for name in spellings(self.recipient_domain or "")]

    def rows(self) -> QuerySet[QueuedDelivery]:
        """Return what waits of it; one statement over all of it is for small amounts."""
        rows = QueuedDelivery.objects.for_organisation(self.organisation_id)
        if self.message_id is not None:
            return rows.filter(message_id=self.message_id)
        if self.domain is not None:
            return rows.filter(domain=self.domain)
        if self.recipient_domain is not None:
            return rows.alias(to=RecipientDomain(F("recipient"))).filter(to__in=self.goes_to())
        return rows


def sealed(scope: Scope) -> str:
    """Return text for a task: which domains somebody writes to is nothing for a broker."""
    words = json.dumps([scope.domain, scope.recipient_domain])
    return vault.seal_text(PURPOSE, words, organisation_id=scope.organisation_id)


def opened(organisation_id: UUID, text: str) -> Scope:
    """Read what `sealed` wrote. Raises VaultError."""
    found = vault.unseal_text(PURPOSE, text, organisation_id=organisation_id)
    domain, to = json.loads(found)
    return Scope(organisation_id, None, domain, to)


@dataclass(frozen=True, slots=True)
class Done:
    """So many deliveries were changed; others may be left unless `is_all`."""

    count: int
    is_all: bool = True


def pieces(scope: Scope, until: datetime) -> Iterator[list[int]]:
    """Yield the ids of what was accepted until then, oldest first, of PIECE rows looked at each."""
    if scope.message_id is not None:
        yield list(scope.rows().filter(accepted_at__lte=until).values_list("id", flat=True))
        return
    everything = QueuedDelivery.objects.for_organisation(scope.organisation_id)
    rows = everything.filter(accepted_at__lte=until).order_by("accepted_at", "id")
    after: tuple[datetime, int] | None = None
    while True:
        left = rows.filter(_beyond(*after)) if after else rows
        window = list(left.values_list("accepted_at", "id")[:PIECE])
        ids = [identifier for _, identifier in window]
        if not scope.domain and not scope.recipient_domain:
            yield ids
        elif ids:
            yield list(scope.rows().filter(id__in=ids).values_list("id", flat=True))
        if len(window) < PIECE:
            return
        after = window[-1]


def _beyond(at: datetime, identifier: int) -> Q:
    # Spelt so that the index on (organisation, accepted_at) bounds the scan.
    return Q(accepted_at__gte=at) & (Q(accepted_at__gt=at) | Q(id__gt=identifier))


def change(
    scope: Scope, until: datetime, write: Callable[[list[int]], int], most: int | None = None
) -> Done:
    """Write piece by piece, until all is done or `most` deliveries were looked at."""
    count = looked = 0
    for ids in pieces(scope, until):
        if most is not None and looked >= most:
            return Done(count, is_all=False)
        count += write(ids) if ids else 0
        looked += PIECE
    return Done(count)


@transaction.atomic
def update(ids: Iterable[int], where: Q, **values: object) -> int:
    """Change those of the rows that are in nobody's hand; returns how many.

    What another transaction has just locked is skipped: it is in somebody's hand.
    """
    rows = QueuedDelivery.objects.filter(where, id__in=ids, lease_owner=None)
    free = rows.order_by("id").select_for_update(skip_locked=True)
    chosen = list(free.values_list("id", flat=True))
    return QueuedDelivery.objects.filter(id__in=chosen).update(**values) if chosen else 0
