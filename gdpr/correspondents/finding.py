# SPDX-License-Identifier: AGPL-3.0-or-later
"""Everything that an organisation has of one address, for its page. Role `web`, in its context."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from gdpr import inventory
from gdpr.correspondents import erasers, log
from gdpr.correspondents.addresses import canonical
from gdpr.correspondents.whom import LOG, Correspondent, entries, other_entries
from gdpr.registry import Whose
from relay import restricting, search
from relay.log import Line, Page
from relay.models import Delivery, Suppression
from relay.search import Search
from relay.suppressing import fingerprint

# The portal may read none of these: what is in them is encrypted, and goes within days.
SEALED = frozenset({"relay.Content", "relay.EspEvent"})
# Counted by the log, whose index has the recipients; a walk of the queue would take its length.
QUEUE = "relay.QueuedDelivery"
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Counts, and the newest of the mails; `settings` are rows outside log and queue, by title."""

    # Kept and not used: the database hides its mail from the portal.
    is_restricted: bool
    received: int
    sent: int
    waiting: int
    suppressions: tuple[Suppression, ...]
    settings: tuple[tuple[str, int], ...]
    newest: tuple[Line, ...]
    # What is logged of the same mails, and what is encrypted: titles alone.
    along: tuple[str, ...]
    sealed: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        counts = (self.received, self.sent, self.waiting)
        return not any((self.is_restricted, *counts, *self.suppressions, *self.settings))


def find(organisation_id: UUID, address: str, now: datetime) -> Found:
    """Look for an address in every table of the inventory that customers' mail has."""
    whom = Correspondent(organisation_id=organisation_id, address=canonical(address), until=now)
    return Found(
        is_restricted=any(_restricted(organisation_id, one) for one in whom.written),
        received=log.count(log.COUNT_RECEIVED, whom),
        sent=log.count(log.COUNT_SENT, whom),
        waiting=waiting(whom),
        suppressions=tuple(_suppressions(whom)),
        settings=tuple(_settings(whom)),
        newest=_newest(whom),
        along=_titles(LOG - {"relay.Message", "relay.Delivery"}),
        sealed=_titles(SEALED),
    )


def _restricted(organisation_id: UUID, address: str) -> bool:
    return restricting.is_restricted(organisation_id, fingerprint(organisation_id, address))


def waiting(whom: Correspondent) -> int:
    """Return to how many deliveries a choice about waiting mail applies."""
    rows = Delivery.objects.for_organisation(whom.organisation_id)
    return rows.filter(recipient__in=whom.written, state=Delivery.State.WAITING).count()


def _suppressions(whom: Correspondent) -> list[Suppression]:
    entry = inventory.entry(Suppression)
    rows = erasers.rows_of(entry, whom, *entry.for_subject(Whose.CORRESPONDENT))
    return list(rows.order_by("created_at"))


def _settings(whom: Correspondent) -> list[tuple[str, int]]:
    """Return titles and counts of rows outside the log, the queue and the list."""
    left_out = {*SEALED, QUEUE, Suppression._meta.label}
    others = [entry for entry in other_entries() if entry.model not in left_out]
    counted = [
        (str(entry.title), erasers.rows_of(entry, whom, *entry.for_subject(Whose.CORRESPONDENT)))
        for entry in others
    ]
    return [(title, count) for title, rows in counted if (count := rows.count())]


def _newest(whom: Correspondent) -> tuple[Line, ...]:
    """Return the newest mails to and from the address, at most SHOWN in all."""
    pages: list[Page] = []
    for spelling in whom.written:
        for asked in (Search(recipient=spelling), Search(sender=spelling)):
            pages.append(search.find(whom.organisation_id, asked, size=SHOWN))
    lines = {line.message.id: line for page in pages for line in page.lines}
    newest = sorted(lines.values(), key=lambda one: one.message.accepted_at, reverse=True)
    return tuple(newest[:SHOWN])


def _titles(models: frozenset[str]) -> tuple[str, ...]:
    return tuple(str(entry.title) for entry in entries() if entry.model in models)
