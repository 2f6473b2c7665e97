# SPDX-License-Identifier: AGPL-3.0-or-later
"""The link that proves an address: what it shows, and what saying yes does. Role `web`.

The portal reads no enquiry by itself: two functions of the database give it the one that the link
is about. Saying yes twice is the same as once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from accounts import links
from gdpr.enquiries.asking import Asked, opened, store_proven

LINK_PURPOSE = "enquiry"
LINK_LIFETIME = timedelta(days=3)
HOUR = timedelta(hours=1)

FIND = "SELECT sealed, proven_at FROM gdpr_enquiry_of_link(%s)"
PROVE = "SELECT gdpr_prove_enquiry(%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Pending:
    """What a link is about: `asked` is None once it has been passed on."""

    asked: Asked | None
    answer_at: datetime | None


def token(enquiry_id: UUID, now: datetime) -> str:
    """Return what the link carries: the number of the row, sealed, and until when it is good."""
    return links.make(LINK_PURPOSE, {"enquiry": str(enquiry_id)}, now + LINK_LIFETIME)


def find(token: str) -> Pending:
    """Return what a link is about; changes nothing. Raises links.LinkInvalid, links.LinkExpired."""
    enquiry_id = _enquiry_id(token)
    with connection.cursor() as cursor:
        cursor.execute(FIND, [enquiry_id])
        row = cursor.fetchone()
    if row is None:
        raise links.LinkExpired
    sealed, proven_at = row
    asked = opened(enquiry_id, sealed) if sealed is not None else None
    return Pending(asked, answer_at(proven_at) if proven_at else None)


def prove(token: str, now: datetime) -> None:
    """Take the address as proven. Raises links.LinkInvalid, links.LinkExpired."""
    with connection.cursor() as cursor:
        cursor.execute(PROVE, [_enquiry_id(token), now, answer_at(now)])
        ((is_there,),) = cursor.fetchall()
    if not is_there:
        raise links.LinkExpired


def ask_by_link(asked: Asked, now: datetime) -> str:
    """Keep what the holder of a link asks about its address, proven by that link; return the link
    of the new request. Raises limits.TooMany.

    An address is mailed a few links a day, which somebody else may have used up: each of them is
    good for its owner's own request.
    """
    return token(store_proven(asked, now, answer_at=answer_at(now)), now)


def answer_at(proven_at: datetime) -> datetime:
    """Return when the answer leaves: at the next full hour, however long a look-up takes."""
    return proven_at.replace(minute=0, second=0, microsecond=0) + HOUR


def _enquiry_id(token: str) -> UUID:
    return UUID(links.read(LINK_PURPOSE, token)["enquiry"])
