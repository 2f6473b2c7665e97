# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the portal reads: the log by pages, and one message's timeline. What waits: waitlist.py.

Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.ids import uuid7_time
from relay import reasons
from relay.models import Attempt, Delivery, Message
from relay.reasons import Explained

PAGE = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where one page ended and the next goes on."""

    at: datetime
    id: UUID | int

    def __str__(self) -> str:
        return f"{self.at.isoformat()}|{self.id}"

    @classmethod
    def parse(cls, text: str, kind: type[UUID] | type[int]) -> Place | None:
        """Read what str() wrote, None for anything else."""
        at, _, identifier = text.partition("|")
        try:
            moment, found = datetime.fromisoformat(at), kind(identifier)
        except ValueError:
            return None
        return cls(moment, found) if moment.tzinfo else None


@dataclass(frozen=True, slots=True)
class Line:
    """A message in the list: its recipients' states, counted, and the first few recipients."""

    message: Message
    states: Counter[str]
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    lines: tuple[Line, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` until just before `until`."""

    since: datetime
    until: datetime


def newest(
    organisation_id: UUID, before: Place | None = None, size: int = PAGE, span: Span | None = None
) -> Page:
    """Return messages, newest first, below `before`."""
    messages = Message.objects.for_organisation(organisation_id).order_by("-accepted_at", "-id")
    if span:
        messages = messages.filter(accepted_at__gte=span.since, accepted_at__lt=span.until)
    if before:
        # Spelt so that the index on (organisation, accepted_at, id) bounds the scan.
        messages = messages.filter(accepted_at__lte=before.at).exclude(
            accepted_at=before.at, id__gte=before.id
        )
    found = list(messages[: size + 1])
    shown = found[:size]
    more = len(found) > size
    return Page(
        lines=tuple(lines(organisation_id, shown)),
        next=Place(shown[-1].accepted_at, shown[-1].id) if more else None,
    )


RECIPIENTS_SHOWN = 3


def lines(organisation_id: UUID, messages: list[Message]) -> Iterable[Line]:
    """Yield each message, newest first as given, with its recipients."""
    if not messages:
        return
    deliveries = _deliveries_of(organisation_id, messages)
    for message in messages:
        of_message = deliveries.get(message.id, [])
        yield Line(
            message=message,
            states=Counter(state for _, state in of_message),
            recipients=tuple(recipient for recipient, _ in of_message[:RECIPIENTS_SHOWN]),
        )


def _deliveries_of(
    organisation_id: UUID, messages: list[Message]
) -> dict[UUID, list[tuple[str, str]]]:
    # Each time by itself: the primary key begins with it, and days in between are left out.
    rows = (
        Delivery.objects.for_organisation(organisation_id)
        .filter(
            accepted_at__in={message.accepted_at for message in messages},
            message_id__in=[message.id for message in messages],
        )
        .order_by("position")
        .values_list("message_id", "recipient", "state")
    )
    found: dict[UUID, list[tuple[str, str]]] = {}
    for message_id, recipient, state in rows:
        found.setdefault(message_id, []).append((recipient, state))
    return found


@dataclass(frozen=True, slots=True)
class Track:
    """One recipient: state, every attempt in order, and why it waits if it does."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    waiting: Explained | None


@dataclass(frozen=True, slots=True)
class Timeline:
    message: Message
    tracks: tuple[Track, ...]


def timeline(organisation_id: UUID, message_id: UUID, now: datetime) -> Timeline | None:
    """Return everything about one message, None when the organisation has no such message.

    The id carries the time, so each query touches one partition.
    """
    day = {"accepted_at": uuid7_time(message_id)}
    message = Message.objects.for_organisation(organisation_id).filter(**day, id=message_id).first()
    if message is None:
        return None
    of = day | {"message_id": message_id}
    attempts = _attempts(organisation_id, of)
    waiting = reasons.of_message(organisation_id, message_id, now)
    deliveries = Delivery.objects.for_organisation(organisation_id).filter(**of)
    tracks = (
        Track(row, tuple(attempts[row.position]), waiting.get(row.position))
        for row in deliveries.order_by("position")
    )
    return Timeline(message, tuple(tracks))


def _attempts(organisation_id: UUID, of: dict[str, Any]) -> dict[int, list[Attempt]]:
    """Return a message's attempts by recipient, each recipient's in order."""
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in (
        Attempt.objects.for_organisation(organisation_id).filter(**of).order_by("number")
    ):
        found[attempt.position].append(attempt)
    return found
