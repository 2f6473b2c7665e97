# SPDX-License-Identifier: AGPL-3.0-or-later
"""The policy of the listener for mail that comes back. What comes is read, and nothing of it kept.

Decisions, each one tested:

* whom a report is about is in the return path alone, and nothing is looked up for it: a path that
  was tampered with, has grown old or never was ours gets the same words;
* anybody may bring a report, signed in or not, because every server in the world must;
* mail to postmaster (RFC 5321 §4.5.1) is taken, and the operator told once a minute that some came;
  it is not kept, because what strangers write there may be about anybody;
* a report that is read before its delivery is written down is put off, and comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from accounts import limits
from relay import returnpaths
from relay.feedback import Event, Taken
from relay.models import Report
from relay.queue.store import ALERT_AGAIN
from relay.reading.reader import Unreadable
from relay.returnpaths import ReturnPath
from relay.smtp import answers, bounces
from relay.smtp.addresses import Address
from relay.smtp.answers import Answer
from relay.smtp.envelope import Recipient
from relay.smtp.policy import Client, Submitted
from relay.smtp.reports import Action, Reported

logger = logging.getLogger(__name__)

POSTMASTER = "postmaster"
FOR_POSTMASTER = "bounce-postmaster"  # the alert's kind


class Reading(Protocol):
    """What reads a content (relay/reading)."""

    async def read(self, content: bytes, *, has_sender: bool) -> tuple[Reported, ...]:
        """Raises Unreadable."""


class Taking(Protocol):
    """What writes down what is told (relay/feedback.py)."""

    async def take(self, event: Event) -> Taken:
        """Raises when nothing is known to be written."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Whoever brings a report; all from one network count together."""

    owner: str


class Bouncing:
    """Implements relay.smtp.policy.Policy."""

    def __init__(
        self,
        *,
        reader: Reading,
        feedback: Taking,
        hosts: Collection[str],
        now: Callable[[], datetime],
        alert: Callable[[str], Awaitable[None]],
    ) -> None:
        """`hosts`: the names under which postmaster is reached; `alert` is given a kind."""
        self._reader = reader
        self._feedback = feedback
        self._hosts = frozenset(host.lower() for host in hosts if host)
        self._now = now
        self._alert = alert
        self._told_at: datetime | None = None  # when the operator was told last, or is being told

    async def connect(self, client: Client) -> Answer | None:
        """Everybody may."""
        return None

    async def authenticate(self, client: Client, username: str, password: str) -> Answer:
        """Nobody: the listener offers no signing in."""
        return answers.NOT_OFFERED

    async def recognise(self, client: Client, sender: Address | None) -> Stranger:
        """Nobody is asked who they are."""
        return Stranger(limits.network(client.address))

    async def mail(self, client: Client, sender: Address | None) -> Answer | None:
        """Most reports have no sender, and some servers give one."""
        return None

    async def rcpt(self, client: Client, recipient: Recipient) -> Answer | None:
        """Only return paths of this service, and postmaster."""
        local, _, domain = recipient.address.rpartition("@")
        if local.lower() == POSTMASTER and domain in self._hosts:
            return None
        is_ours = returnpaths.read(local, self._now()) is not None
        return None if is_ours else answers.NO_RETURN_PATH

    async def accept(self, client: Client, message: Submitted) -> Answer:
        """Read the report and pass on what it says."""
        (recipient,) = message.envelope.recipients
        local = recipient.address.rpartition("@")[0]
        if local.lower() == POSTMASTER:
            await self._tell_operator()
            return answers.REPORT_TAKEN
        path = returnpaths.read(local, self._now())
        if path is None:
            return answers.NO_RETURN_PATH
        try:
            found = await self._reader.read(
                message.content, has_sender=bool(message.envelope.sender)
            )
        except Unreadable:
            logger.warning("bounces: a report was not read in time")
            return answers.REPORT_LATER
        return await self._take(events(path, found))

    async def _tell_operator(self) -> None:
        """Each telling takes a connection to the database, and anybody may write as often."""
        now, last = self._now(), self._told_at
        if last and abs(now - last) < ALERT_AGAIN:
            return
        self._told_at = now
        try:
            await self._alert(FOR_POSTMASTER)
        except BaseException:
            self._told_at = last
            raise

    async def _take(self, told: Sequence[Event]) -> Answer:
        if not told:
            logger.info("bounces: mail to a return path reports nothing")
        # All of them, also when one is to come again: whatever is told twice counts once.
        taken = await asyncio.gather(*map(self._feedback.take, told))
        return answers.REPORT_LATER if Taken.LATER in taken else answers.REPORT_TAKEN


_KINDS = {
    Action.FAILED: Report.Kind.FAILED,
    Action.DELAYED: Report.Kind.DELAYED,
    Action.DELIVERED: Report.Kind.DELIVERED,
}


def events(path: ReturnPath, found: Sequence[Reported]) -> list[Event]:
    """Return what a report tells, recipient by recipient.

    Where the return path names the recipient, all of the report is about that one: a list or an
    address that leads on brings several, and a failure counts before what went well.
    """
    if path.position is None:
        return [_event(path, (one,)) for one in found]
    for action in _KINDS:
        alike = tuple(one for one in found if one.action is action)
        if alike:
            return [_event(path, alike)]
    return []


def _event(path: ReturnPath, alike: tuple[Reported, ...]) -> Event:
    first, judged = alike[0], [bounces.classify(one) for one in alike]
    return Event(
        message_id=path.message_id,
        position=path.position,
        source=Report.Source.BOUNCE.value,
        kind=_KINDS[first.action].value,
        addresses=tuple(address for one in alike for address in one.addresses),
        scope=judged[0].scope.value,
        is_hard=all(one.is_hard for one in judged),
        code=first.code,
        enhanced=first.enhanced,
        text=first.text,
    )
