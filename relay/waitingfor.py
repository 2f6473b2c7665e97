# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which waiting mail is to an address, or from it.

Found in the log, which has indexes of recipients and senders: the queue would be walked from end
to end for each address. The log has them in lower case. Call it where the log is to be seen: as
role `duty`, or in the organisation's context while nothing restricts the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

from django.db.models import Min

from relay import scopes
from relay.correspondence import spelt
from relay.models import Delivery, Message, QueuedDelivery

Place = TypeVar("Place")


def to(organisation_id: UUID, addresses: Sequence[str], now: datetime) -> Iterator[list[int]]:
    """Yield the ids of what waits for the addresses, in pieces."""
    rows = Delivery.objects.for_organisation(organisation_id).filter(
        recipient__in=[one for address in addresses for one in spelt(address)],
        accepted_at__gte=_oldest(organisation_id) or now,
        accepted_at__lte=now,
        state=Delivery.State.WAITING,
    )
    for piece in _pieces(rows.values_list("message_id", "position")):
        meant = set(piece)
        queued = QueuedDelivery.objects.filter(message_id__in={message for message, _ in piece})
        found = queued.values_list("id", "message_id", "position")
        yield [identifier for identifier, *place in found if tuple(place) in meant]


def sent_by(organisation_id: UUID, address: str, now: datetime) -> Iterator[list[int]]:
    """Yield the ids of what waits of an address's own mail, in pieces."""
    rows = Message.objects.for_organisation(organisation_id).filter(
        sender__in=spelt(address),
        accepted_at__gte=_oldest(organisation_id) or now,
        accepted_at__lte=now,
    )
    for piece in _pieces(rows.values_list("id", flat=True)):
        queued = QueuedDelivery.objects.filter(message_id__in=piece)
        yield list(queued.values_list("id", flat=True))


def _pieces(found: Iterable[Place]) -> Iterator[list[Place]]:
    # Read to its end first: whoever takes a piece changes the queue.
    places = iter(list(found))
    while piece := list(islice(places, scopes.PIECE)):
        yield piece


def _oldest(organisation_id: UUID) -> datetime | None:
    queued = QueuedDelivery.objects.for_organisation(organisation_id)
    oldest: datetime | None = queued.aggregate(at=Min("accepted_at"))["at"]
    return oldest
