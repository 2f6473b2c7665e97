# SPDX-License-Identifier: AGPL-3.0-or-later
"""Search in the log: what is looked for, and how the next page of it is found.

Call everything inside the organisation's context (accounts/tenancy.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from accounts import clock, vault
from accounts.models.organisations import QUEUE_HOURS_MAX
from relay import log, logfields, logqueries
from relay.log import PAGE, Page, Place, Span
from relay.logqueries import Driver
from relay.models import Delivery, Message, messages

PURPOSE = "log-search"
# So many rows are gone through before a page is shown.
LOOKED_THROUGH = 1_000
# So many are sorted at once; of more, the newest days are looked at one by one.
FEW = 1_000
DAYS_A_PAGE = 8
LAST_CHARACTER = "\U0010ffff"
# Sorts right behind the text itself: no address has a control character.
NEXT_CHARACTER = "\x01"
LEAST_ID = UUID(int=0)
DAY = timedelta(days=1)
Row = tuple[Any, ...]

POSSIBLE_DUPLICATE, RETURNED = "possible_duplicate", "returned"
# They have an index of their own, because they are few; nearly all mail is delivered.
ENDED = frozenset(Delivery.State.values) - {Delivery.State.DELIVERED, Delivery.State.WAITING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; addresses in lower case, days in the current zone, ends included.

    `..._begins` says that the address is one's start only. A Message-ID is as it was written.
    """

    recipient: str = ""
    recipient_begins: bool = False
    sender: str = ""
    sender_begins: bool = False
    credential: str = ""  # the id of one
    state: str = ""
    mark: str = ""  # POSSIBLE_DUPLICATE or RETURNED
    since_on: str = ""  # ISO 8601
    until_on: str = ""
    message_id: str = ""

    def __bool__(self) -> bool:
        return self != Search()

    @property
    def is_narrow(self) -> bool:
        """Whether more is asked for than who and how it went."""
        return bool(
            self.since_on or self.until_on or self.credential or self.mark or self.message_id
        )

    def sealed(self, organisation_id: UUID) -> str:
        """Return text for an address line: an address in clear would end in every proxy's log."""
        values = {name: value for name, value in asdict(self).items() if value}
        return vault.seal_text(PURPOSE, json.dumps(values), organisation_id=organisation_id)

    def matches(self, delivery: Delivery) -> bool:
        """Whether one recipient of a message found is what was asked for."""
        is_theirs = delivery.recipient == self.recipient or (
            delivery.recipient.startswith(self.recipient) and self.recipient_begins
        )
        return (
            (not self.recipient or is_theirs)
            and self.state in ("", delivery.state)
            and (self.mark != POSSIBLE_DUPLICATE or delivery.possible_duplicate)
            and (self.mark != RETURNED or delivery.final_reason == RETURNED)
        )


def opened(text: str, organisation_id: UUID) -> Search | None:
    """Read what `sealed` wrote for the same organisation, None for anything else."""
    try:
        values = json.loads(vault.unseal_text(PURPOSE, text, organisation_id=organisation_id))
    except vault.VaultError:
        return None
    # An address line may be older than the fields of today.
    known = isinstance(values, dict) and values.keys() <= {one.name for one in fields(Search)}
    return Search(**values) if known else None


def find(
    organisation_id: UUID, search: Search, before: Place | None = None, size: int = PAGE
) -> Page:
    """Return matching messages, newest first, below `before`.

    A page that is not full may have a next one: the look ended before the log did.
    """
    found, onward = places(organisation_id, search, before, size)
    return Page(tuple(_lines(organisation_id, found)), onward)


def places(
    organisation_id: UUID, search: Search, before: Place | None, size: int
) -> tuple[list[Place], Place | None]:
    """Return where matching messages are, newest first, and where the look goes on."""
    found: list[Place] = []
    looks = _Looks(organisation_id, search, before)
    for rows in looks.rows(size):
        found += [Place(at, of) for at, of, _, matches in rows if matches]
        if len(found) > size:
            return found[:size], found[size - 1]
        if not looks.left:
            return found, Place(*rows[-1][:2])
    return found, looks.onward


@dataclass
class _Looks:
    """The looks for one page: what drives each, and how much of the log it is at."""

    organisation_id: UUID
    search: Search
    before: Place | None

    def __post_init__(self) -> None:
        span = _span(self.search)
        self._since, self._reached = span.since, span.since
        # How many rows may still be gone through.
        self.left = LOOKED_THROUGH
        newest = Place(span.until, LEAST_ID)
        # An address line may name any instant.
        self._from = self.before if self.before and self.before.at < span.until else newest

    @property
    def onward(self) -> Place | None:
        """Where the next page goes on, once all looks of this one were taken."""
        return Place(self._reached, LEAST_ID) if self._reached > self._since else None

    def rows(self, size: int) -> Iterator[list[Row]]:
        """Yield what each look gives: time, id, number in the look, whether it matches."""
        if self._from.at <= self._since:
            return
        for driver, values in self._drivers():
            bounds = {"size": size + 1, "most": self.left}
            rows = _ask(driver.statement, self._judging(driver) | values | bounds)
            self.left -= rows[-1][2] if rows else 0
            yield rows

    def _drivers(self) -> Iterator[tuple[Driver, dict[str, Any]]]:
        begins, rare = self._begins, self._rare
        if driver := self._single:
            yield driver, self._values
        elif rare and not (begins and self._is_few(begins, self._values)):
            yield rare, self._values
        elif self.search.sender and not self.search.sender_begins:
            yield logqueries.BY_SENDER, self._values
        elif begins:
            yield from self._of_beginning(begins)
        else:
            by_credential = logqueries.BY_CREDENTIAL
            yield by_credential if self.search.credential else logqueries.WALK, self._values

    @property
    def _single(self) -> Driver | None:
        """What finds few rows, whatever else is asked for."""
        if self.search.message_id:
            return logqueries.BY_MESSAGE_ID
        is_whole = self.search.recipient and not self.search.recipient_begins
        return logqueries.BY_RECIPIENT if is_whole else None

    @property
    def _begins(self) -> Driver | None:
        if self.search.recipient:
            return logqueries.RECIPIENT_BEGINS
        return logqueries.SENDER_BEGINS if self.search.sender else None

    @property
    def _rare(self) -> Driver | None:
        """What finds mail with the mark or in the state asked for, if few are."""
        if self.search.mark == POSSIBLE_DUPLICATE:
            return logqueries.BY_DUPLICATE
        if self.search.state == Delivery.State.WAITING:
            return logqueries.BY_WAITING
        return logqueries.BY_ENDING if self._ending else None

    @property
    def _ending(self) -> str:
        """The end that stands in the index of ends, if one is asked for."""
        state = self.search.state or (
            Delivery.State.BOUNCED if self.search.mark == RETURNED else ""
        )
        return state if state in ENDED else ""

    def _of_beginning(self, begins: Driver) -> Iterator[tuple[Driver, dict[str, Any]]]:
        """Sort all there are when they are few; otherwise a day of the log at a time."""
        if self._is_few(begins, self._values):
            yield begins, self._values
            return
        place = self._from
        for since in _days(self._since, place.at):
            self._reached = since
            day = self._values | {"since": since, "at": place.at, "id": place.id}
            yield begins if self._is_few(begins, day) else logqueries.WALK, day
            place = Place(since, LEAST_ID)

    def _is_few(self, driver: Driver, values: dict[str, Any]) -> bool:
        ((rows,),) = _ask(driver.count, values)
        return bool(rows < FEW)

    @cached_property
    def _values(self) -> dict[str, Any]:
        search = self.search
        identifier = search.message_id
        return {
            "organisation": self.organisation_id,
            "recipient": search.recipient,
            "recipient_beyond": _beyond(search.recipient, begins=search.recipient_begins),
            "sender": search.sender,
            "sender_beyond": _beyond(search.sender, begins=search.sender_begins),
            "credential": search.credential or None,
            "state": search.state,
            "ending": self._ending,
            "mark": search.mark,
            "header_hash": logfields.header_hash(self.organisation_id, identifier),
            "since": self._since,
            "at": self._from.at,
            "id": self._from.id,
            "few": FEW,
        }

    def _judging(self, driver: Driver) -> dict[str, Any]:
        """Say what is still to be asked of the rows."""
        search = self.search
        of_message = {"sender": search.sender, "credential": search.credential}
        of_delivery = {"recipient": search.recipient, "state": search.state, "mark": search.mark}
        asked = [{name for name, value in of.items() if value} for of in (of_message, of_delivery)]
        # One recipient must be all that is asked for, so what is settled is asked once more.
        judges = [bool(names - driver.settles) for names in asked]
        return self._values | {"judges_message": judges[0], "judges_delivery": judges[1]}


def _days(since: datetime, at: datetime) -> Iterator[datetime]:
    """Yield the starts of the log's days, the newest first, as many as one page looks at."""
    # Nothing is below the first instant of a day.
    day = datetime.combine((at - timedelta(microseconds=1)).astimezone(UTC), time(), UTC)
    for _ in range(DAYS_A_PAGE):
        yield max(day, since)
        if day <= since:
            break
        day -= DAY


def _beyond(address: str, *, begins: bool) -> str:
    return address + (LAST_CHARACTER if begins or not address else NEXT_CHARACTER)


def _span(search: Search) -> Span:
    """Return the days asked for, as far as the log has any."""
    now = clock.now()
    # A day stays while mail of it is not final.
    oldest = now - timedelta(days=messages.LOG_DAYS + 1, hours=QUEUE_HOURS_MAX)
    since = _midnight(search.since_on) if search.since_on else oldest
    # Up to now, and a little for clocks that differ.
    newest = now + timedelta(minutes=1)
    until = _midnight(search.until_on) + DAY if search.until_on else newest
    return Span(max(since, oldest), min(until, newest))


def _midnight(day: str) -> datetime:
    """Return the start of a day in the current zone."""
    return datetime.combine(date.fromisoformat(day), time.min, timezone.get_current_timezone())


def _ask(statement: str, values: dict[str, Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _lines(organisation_id: UUID, found: list[Place]) -> Iterable[log.Line]:
    return log.lines(organisation_id, messages_at(organisation_id, found))


def messages_at(organisation_id: UUID, found: list[Place]) -> list[Message]:
    """Return the messages at these places, newest first."""
    if not found:
        return []
    # Each time by itself: the primary key begins with it, and days in between are left out.
    rows = Message.objects.for_organisation(organisation_id).filter(
        accepted_at__in={place.at for place in found}, id__in=[place.id for place in found]
    )
    return list(rows.order_by("-accepted_at", "-id"))
