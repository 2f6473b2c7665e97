# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is told of a mail after it left, by a report that came back or by a provider.

Nothing says in which order it comes: a mail may fail after it was delivered, and a report may be
here before the delivery it is about is written down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from django.conf import settings

from accounts import clock
from accounts.vault import HourKey
from relay import outcomes, suppressing
from relay.discretion import Restricted
from relay.limits import SharedCounters
from relay.models import Delivery, Report
from relay.notices import NoticeLimit
from relay.queue import (
    Accepted,
    HotConnection,
    Sealer,
    conninfo,
    keyring_directory,
    returned,
    statements,
    storing,
)
from relay.queue.connection import Connection
from relay.queue.entries import storable
from relay.queue.returned import LoggedDelivery, ReportRow
from relay.queue.store import learn_organisations
from relay.smtp import dsn
from relay.smtp.addresses import AddressError, host_name, is_inner_name, is_namesake
from relay.smtp.envelope import Recipient
from relay.smtp.replies import Outcome, Scope, Verdict, mask_addresses

logger = logging.getLogger(__name__)

Kind = Report.Kind
# A far end may send a mail back before this side has written down that it left.
PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 0.05
FRESH_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What was told of one recipient of a message.

    ``position`` None: one of several, and ``addresses`` say which. ``source`` and ``kind`` are of
    relay.models.Report. ``text`` is the far end's and may hold addresses. ``organisation_id``:
    whoever tells may tell of this one's mail alone; None: the return path was proof enough.
    """

    message_id: UUID
    position: int | None
    source: str
    kind: str
    addresses: tuple[str, ...] = ()
    scope: str = Scope.INFRASTRUCTURE.value
    is_hard: bool = False
    code: int = 0
    enhanced: str = ""
    text: str = ""
    organisation_id: UUID | None = None


class Taken(Enum):
    """What became of an event."""

    TAKEN = "taken"  # also when the same was told before
    UNKNOWN = "unknown"  # the log has no such delivery, or no more
    LATER = "later"  # its mail is on its way still: to be told again


class _KeyClosed(Exception):
    """The hour key was closed in between; the event starts again under another."""


def whom(event: Event, deliveries: Sequence[LoggedDelivery]) -> LoggedDelivery | None:
    """Return whom of a message's recipients an event is about; None when that is not known."""
    # Recipients see their own return path: what names it need not come from its organisation.
    if event.organisation_id not in (None, *(one.organisation_id for one in deliveries)):
        return None
    if event.position is not None:
        return next((one for one in deliveries if one.position == event.position), None)
    if len(deliveries) == 1:
        return deliveries[0]
    for is_alike in (_is_same, is_namesake):
        alike = [
            one
            for one in deliveries
            if any(is_alike(address, one.recipient) for address in event.addresses)
        ]
        if len(alike) == 1:
            return alike[0]
    return None


def suppresses(event: Event, about: LoggedDelivery) -> bool:
    """Whether the recipient gets no more mail: the address is gone, or somebody complained.

    Who has mail sent on to an address that is gone has one that works: then the report is about
    another one than the mail was sent to.
    """
    if event.position is None and not _is_named(event, about):
        return False
    if event.kind == Kind.COMPLAINED:
        return True
    is_about = not event.addresses or any(
        _is_same(address, about.recipient) or is_inner_name(address, about.recipient)
        for address in event.addresses
    )
    is_gone = event.is_hard and event.scope == Scope.RECIPIENT
    return event.kind == Kind.FAILED and is_gone and is_about


def _is_named(event: Event, about: LoggedDelivery) -> bool:
    """Whether a report on mail to several names this one beyond doubt.

    A return path that several share proves nothing of any one of them: each can read it, and name
    another. A provider knows whom it wrote to, but a namesake is a guess, and so is whoever is
    left where the others have gone from the log.
    """
    is_said = any(_is_same(address, about.recipient) for address in event.addresses)
    return event.source == Report.Source.ESP and is_said


def _is_same(one: str, other: str) -> bool:
    return suppressing.normalised(one) == suppressing.normalised(other)


class Feedback:
    """Takes events in, each in one transaction of the role `relay`."""

    def __init__(
        self,
        dsn: str,
        sealer: Sealer,
        limit: NoticeLimit,
        *,
        hostname: str,
        now: Callable[[], datetime],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._connection = HotConnection(dsn)
        self._sealer = sealer
        self._limit = limit
        self._hostname = hostname
        self._now = now
        self._patience = patience
        self._part = storing.a_part()
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Hang up."""
        await self._connection.close()
        await self._limit.close()

    async def take(self, event: Event) -> Taken:
        """Write down what an event changes, once however often it is told.

        Waits a little for mail that is on its way. Raises psycopg.Error, OSError, TimeoutError or
        VaultError: then nothing is known to be written, and the event is to be told again.
        """
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._patience, LOOK_SECONDS
        while (taken := await self._take(event)) is Taken.LATER and loop.time() < until:
            await asyncio.sleep(pause)
            pause *= 2
        return taken

    async def _take(self, event: Event) -> Taken:
        closed = ""
        for _ in range(FRESH_KEYS):
            async with self._one_at_a_time, self._connection.use() as connection:
                hour_key = await self._hour_key(connection, event, closed)
                try:
                    async with connection.transaction():
                        return await self._write(connection, event, hour_key)
                except _KeyClosed:
                    closed = hour_key.id if hour_key else ""
        return Taken.LATER

    async def _hour_key(self, connection: Connection, event: Event, closed: str) -> HourKey | None:
        """Return a key whose row is committed, where a notice may follow."""
        if event.kind != Kind.FAILED:
            return None
        hour_key = self._sealer.hour_key(self._now(), closed=closed)
        await statements.register_hour_key(connection, hour_key.id)
        return hour_key

    async def _write(self, connection: Connection, event: Event, hour_key: HourKey | None) -> Taken:
        now = self._now()
        about = whom(event, await returned.deliveries(connection, event.message_id))
        if about is None:
            return Taken.UNKNOWN
        if event.kind == Kind.FAILED and about.state == Delivery.State.WAITING:
            return Taken.LATER
        if not await returned.report(connection, about, _row(event, about), now):
            return Taken.TAKEN
        is_back = event.kind == Kind.FAILED and about.state == Delivery.State.DELIVERED
        if is_back:
            await returned.came_back(connection, about, now)
        if is_back or event.kind == Kind.COMPLAINED:
            await self._count(connection, event, about, now)
        # A person's right to be erased leaves rows that name nobody.
        if "@" in about.recipient:
            await self._follow_up(connection, event, about, now, hour_key if is_back else None)
        return Taken.TAKEN

    async def _count(
        self, connection: Connection, event: Event, about: LoggedDelivery, now: datetime
    ) -> None:
        await returned.count(
            connection,
            about.organisation_id,
            _domain(about.sender),
            now,
            self._part,
            is_complaint=event.kind == Kind.COMPLAINED,
            is_hard=event.is_hard and event.scope == Scope.RECIPIENT,
        )

    async def _follow_up(
        self,
        connection: Connection,
        event: Event,
        about: LoggedDelivery,
        now: datetime,
        hour_key: HourKey | None,
    ) -> None:
        if suppresses(event, about):
            known_by = suppressing.fingerprint(about.organisation_id, about.recipient)
            is_complaint = event.kind == Kind.COMPLAINED
            await returned.suppress(connection, about, known_by, now, is_complaint=is_complaint)
        # A notice has no sender, and is never answered (RFC 5321 §6.1).
        if hour_key and about.tells_failure and "@" in about.sender:
            await self._tell(connection, event, about, now, hour_key)

    async def _tell(
        self,
        connection: Connection,
        event: Event,
        about: LoggedDelivery,
        now: datetime,
        hour_key: HourKey,
    ) -> None:
        """Store a notice to the sender, unless the organisation's senders had too many of late.

        Above the limit the log alone has it: whatever comes back by the thousand is read there.
        """
        if not await self._limit.grants(about.organisation_id):
            logger.warning("feedback: notice on message %s not sent: limit", about.message_id)
            return
        await learn_organisations(connection, self._sealer, {about.organisation_id}, now)
        restricted = await returned.restricted(connection, about.organisation_id)
        notice = _notice(event, about, self._hostname, now, restricted)
        sealed = self._sealer.seal_for_store(notice, hour_key)
        if not await storing.store(connection, hour_key.id, [sealed], self._part):
            raise _KeyClosed


def _row(event: Event, about: LoggedDelivery) -> ReportRow:
    known = (about.recipient, about.sender, *event.addresses)
    return ReportRow(
        source=event.source,
        kind=event.kind,
        scope=event.scope,
        is_hard=event.is_hard,
        code=event.code,
        enhanced=storable(event.enhanced, 12),
        reply=storable(mask_addresses(event.text, known), 500),
    )


def _domain(sender: str) -> str:
    """Return the A-label, by which the figures know a domain."""
    domain = sender.rpartition("@")[2]
    try:
        return domain if domain.isascii() else host_name(domain)
    except AddressError:
        return ""


def _notice(
    event: Event, about: LoggedDelivery, hostname: str, now: datetime, restricted: Restricted
) -> Accepted:
    """Write the notice. Its content is gone by now, so no header of the mail is in it."""
    report = dsn.Report(
        action=dsn.Action.FAILED,
        message_id=about.message_id,
        sender=about.sender,
        recipients=(_told(event, about),),
        original=b"",
        accepted_at=about.accepted_at,
        now=now,
        expires_at=now,
        reporting_host=hostname,
    )
    domain = about.sender.rpartition("@")[2]
    return outcomes.notification(report, restricted=restricted, domain=domain, is_sandbox=False)


def _told(event: Event, about: LoggedDelivery) -> dsn.Told:
    outcome = Outcome(
        verdict=Verdict.BOUNCED,
        scope=Scope(event.scope),
        code=event.code,
        enhanced=event.enhanced,
        text=event.text,
    )
    recipient = Recipient(about.recipient)
    return dsn.Told(recipient=recipient, outcome=outcome, attempted_at=None, came_back=True)


@asynccontextmanager
async def opened(patience: float = PATIENCE_SECONDS) -> AsyncIterator[Feedback]:
    """Lend a Feedback on this process's database, keyring and Redis.

    `patience`: seconds to wait for mail that is on its way.
    """
    feedback = Feedback(
        conninfo(),
        Sealer(keyring_directory()),
        NoticeLimit(SharedCounters(settings.REDIS_URL), clock.now),
        hostname=settings.RELAY_HOSTNAME,
        now=clock.now,
        patience=patience,
    )
    try:
        yield feedback
    finally:
        await feedback.close()
