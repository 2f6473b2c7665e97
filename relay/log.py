# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the portal reads: the log by pages, and one message's timeline. What waits: waitlist.py.

Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import QuerySet

from accounts.ids import uuid7_time
from relay import reasons
from relay.models import Attempt, Delivery, LogChoice, Message, MessageHeader, Report
from relay.reasons import Explained

PAGE = 50
RECIPIENTS_SHOWN = 3


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
    """A message in the list, with its recipients in order."""

    message: Message
    deliveries: tuple[Delivery, ...]

    @property
    def states(self) -> Counter[str]:
        """How many recipients are in each state."""
        return Counter(delivery.state for delivery in self.deliveries)

    @property
    def recipients(self) -> tuple[str, ...]:
        """The first few."""
        return tuple(delivery.recipient for delivery in self.deliveries[:RECIPIENTS_SHOWN])

    @property
    def is_possible_duplicate(self) -> bool:
        """Whether somebody may have got it twice."""
        return any(delivery.possible_duplicate for delivery in self.deliveries)

    @property
    def came_back(self) -> bool:
        """Whether it was taken by a server and came back later."""
        returned = Delivery.FinalReason.RETURNED
        return any(delivery.final_reason == returned for delivery in self.deliveries)


@dataclass(frozen=True, slots=True)
class Page:
    lines: tuple[Line, ...]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Span:
    """From `since` until just before `until`."""

    since: datetime
    until: datetime


def lines(organisation_id: UUID, messages: list[Message]) -> Iterable[Line]:
    """Yield each message, in the order given, with its recipients."""
    deliveries = deliveries_of(organisation_id, messages)
    for message in messages:
        yield Line(message, tuple(deliveries[message.id]))


def deliveries_of(
    organisation_id: UUID, messages: list[Message]
) -> defaultdict[UUID, list[Delivery]]:
    """Return the recipients of each message, in order."""
    found: defaultdict[UUID, list[Delivery]] = defaultdict(list)
    if not messages:
        return found
    # Each time by itself: the primary key begins with it, and days in between are left out.
    rows = Delivery.objects.for_organisation(organisation_id).filter(
        accepted_at__in={message.accepted_at for message in messages},
        message_id__in=[message.id for message in messages],
    )
    for row in rows.order_by("position"):
        found[row.message_id].append(row)
    return found


@dataclass(frozen=True, slots=True)
class Track:
    """One recipient: state, every attempt, late reports in order, and why it waits if it does."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    reports: tuple[Report, ...]
    waiting: Explained | None


@dataclass(frozen=True, slots=True)
class Timeline:
    message: Message
    tracks: tuple[Track, ...]


def timeline(organisation_id: UUID, message_id: UUID, now: datetime) -> Timeline | None:
    """Return everything about one message, None when the organisation has no such message.

    The id carries the time, so each query touches one partition. Its header is read by itself
    (`header_of`), by those who may.
    """
    message = message_of(organisation_id, message_id)
    if message is None:
        return None
    of = {"accepted_at": message.accepted_at, "message_id": message_id}
    attempts = _by_recipient(Attempt.objects.for_organisation(organisation_id).filter(**of))
    reports = _by_recipient(Report.objects.for_organisation(organisation_id).filter(**of))
    waiting = reasons.of_message(organisation_id, message_id, now)
    deliveries = Delivery.objects.for_organisation(organisation_id).filter(**of)
    tracks = (
        Track(
            row,
            tuple(attempts[row.position]),
            tuple(reports[row.position]),
            waiting.get(row.position),
        )
        for row in deliveries.order_by("position")
    )
    return Timeline(message, tuple(tracks))


def message_of(organisation_id: UUID, message_id: UUID) -> Message | None:
    """Return the row of a message; None when the organisation has no such message."""
    try:
        accepted_at = uuid7_time(message_id)
    except (ValueError, OverflowError):  # of another kind, or a time beyond any calendar
        return None
    rows = Message.objects.for_organisation(organisation_id)
    return rows.filter(accepted_at=accepted_at, id=message_id).first()


def header_of(message: Message) -> str:
    """Return a message's header, '' where its profile keeps none."""
    if message.profile != LogChoice.Profile.HEADERS:
        return ""
    rows = MessageHeader.objects.for_organisation(message.organisation_id).filter(
        accepted_at=message.accepted_at, message_id=message.id
    )
    return rows.values_list("header", flat=True).first() or ""


Told = TypeVar("Told", Attempt, Report)


def _by_recipient(rows: QuerySet[Told]) -> dict[int, list[Told]]:
    """Return rows about a message's recipients by recipient, each recipient's in order."""
    found: dict[int, list[Told]] = defaultdict(list)
    for row in rows.order_by("number"):
        found[row.position].append(row)
    return found
