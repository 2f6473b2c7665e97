# SPDX-License-Identifier: AGPL-3.0-or-later
"""Carries one message's leased deliveries: open, route, send, settle."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime

from accounts.vault import KeyGone, VaultError
from relay import outcomes, quarantine, sandbox
from relay.backoff import Backoff
from relay.destined import by_destination
from relay.metering import Metering
from relay.models import QueuedDelivery, Route
from relay.notices import NoticeLimit
from relay.outcomes import Telling
from relay.pacing import PACED, Pace
from relay.preparing import AsGiven, PassOn, ReturnPaths, Signer
from relay.quarantine import Suspects
from relay.queue import (
    Accepted,
    LeaseLost,
    Leases,
    Refused,
    Sealer,
    Settlement,
    Tried,
    Work,
)
from relay.restraints import Restraints
from relay.room import Room
from relay.routing import Routes, Waits
from relay.smtp.replies import Outcome, Scope, Verdict, is_host_refusal
from relay.transports import NotNow, RouteTarget, Transport
from relay.transports.dialling import RESTING

logger = logging.getLogger(__name__)

# Kinds of alerts; their subject is the organisation's id.
UNOPENED = "mail-unopened"
UNTOLD = "notice-unstored"
# … and of this one the route's id.
REFUSED_AS_HOST = "mail-refused-as-host"
DELAYS_SECONDS = 60.0
DIRECT = Route.Kind.DIRECT.value
QUARANTINED = "mail-quarantined"


@dataclass(slots=True, eq=False)
class Job:
    """One message on its way; `sent` are the leases whose final dot may have left, by id."""

    work: Work
    sent: set[int] = field(default_factory=set)
    content: bytes | None = field(default=None, repr=False)
    destination: str = ""  # where all of it goes, when it is delivered there itself
    is_shut_out: bool = False  # no route takes mail of its organisation and domain now
    not_now: NotNow | None = None  # why it went back untried

    def let_go(self) -> None:
        """Hold no content any more; it can be read again."""
        self.content = None


@dataclass(slots=True, kw_only=True)
class Courier:
    """Everything it takes to carry a message; one for each shift."""

    leases: Leases
    routes: Routes
    transport: Transport
    pace: Pace
    metering: Metering
    restraints: Restraints
    sealer: Sealer
    now: Callable[[], datetime]
    random: Callable[[], float]
    hostname: str
    backoff: Backoff
    limit: NoticeLimit
    signer: Signer = field(default_factory=PassOn)
    paths: ReturnPaths = field(default_factory=AsGiven)
    room: Room = field(default_factory=Room)
    suspects: Suspects = field(default_factory=Suspects)
    # Whose senders are told of the delay now; leased, and kept so by the shift.
    telling: deque[Work] = field(default_factory=deque)

    async def carry(self, job: Job) -> bool:
        """Bring every delivery of the job to its next state; returns whether a notice was stored.

        Raises only what keeps it from being written that it failed.
        """
        return await self._carried(job, self._carry_held(job))

    async def _carried(self, job: Job, act: Awaitable[bool]) -> bool:
        try:
            return await self._answered(job, act)
        except Exception as fault:  # noqa: BLE001 - one message must not end the shift
            logger.error("delivery: message %s: %s", job.work.message_id, type(fault).__name__)
            await self._strike(job)
            return False

    async def close(self) -> None:
        """Hang up on servers and engines; what is to be written is written first."""
        await self.transport.close()
        await self.backoff.close()
        await self.leases.stop()
        await self.routes.close()
        await self.signer.close()
        await self.pace.close()
        await self.metering.close()
        await self.restraints.close()
        await self.limit.close()
        await self.paths.close()

    async def tell_delays(self) -> None:
        """Tell senders of the delay when its time has come, each minute, until cancelled."""
        while True:
            await asyncio.sleep(DELAYS_SECONDS)
            self.telling.extend(await self.leases.delayed())
            try:
                while self.telling:
                    await self._tell_delay(self.telling[0])
                    self.telling.popleft()
            finally:
                # Cut off: whose lease ran out would be taken for mail that a process died of.
                for work in self.telling:
                    self.leases.give_back(work.deliveries)
                self.telling.clear()

    async def _tell_delay(self, work: Work) -> None:
        now = self.now()
        try:
            await self._settle(Job(work), [outcomes.delayed(one, now) for one in work.deliveries])
        except Exception as fault:  # noqa: BLE001 - its next try tells, or its end
            logger.error("delivery: delay of %s: %s", work.message_id, type(fault).__name__)
            await self.leases.release(work.deliveries)

    async def _strike(self, job: Job) -> None:
        """Count a fault of this service's own against the message, so that it ends one day."""
        work, now = job.work, self.now()
        struck = tuple(quarantine.struck(lease, now) for lease in work.deliveries)
        await self.leases.strike(struck)
        if any(reason for _, _, reason in struck):
            await self.leases.alert(QUARANTINED, str(work.organisation_id))

    async def _carry_held(self, job: Job) -> bool:
        told = await self._end(job)
        told |= await self._keep_back(job)
        if not job.work.deliveries:
            return told
        if not any(lease.is_suspect for lease in job.work.deliveries):
            return await self._carry(job) or told
        async with self.suspects.turn(job.work):
            await self.leases.begin(job.work.deliveries)
            return await self._carry(job) or told

    async def _answered(self, job: Job, act: Awaitable[bool]) -> bool:
        """Do it, and hand back or settle what it turns out cannot be sent now, or ever."""
        try:
            return await act
        except LeaseLost:
            logger.warning("delivery: lease of message %s lost before the dot", job.work.message_id)
            # What is still held goes back unsent; the rest is somebody else's by now.
            await self.leases.release(job.work.deliveries)
            return False
        except NotNow as not_now:
            return await self._put_back(job, not_now)
        except KeyGone:
            logger.warning("delivery: key of message %s is gone: settled", job.work.message_id)
            now = self.now()
            return await self._settle(
                job, [outcomes.key_gone(lease, now) for lease in job.work.deliveries]
            )

    async def _put_back(self, job: Job, not_now: NotNow) -> bool:
        """Hand back what found no place at its next hop, and keep what waits for the same away."""
        work, is_paced = job.work, not_now.reason == PACED
        if job.destination and not_now.until is not None and not is_paced:
            # Mail to others, of the same sender, goes on.
            until, name = not_now.until, job.destination
            turn = work.organisation_id, work.domain
            await self.backoff.leave_alone(turn, name, until, not_now.reason)
            return await self._hand_back(job, not_now.reason, until)
        job.not_now, job.is_shut_out = not_now, not_now.reason == RESTING
        if is_paced and not_now.until is not None:
            # The hold is about all that waits, for all shifts.
            await self.routes.hold_back(work.organisation_id, work.domain, not_now.until)
        return await self._hand_back(job, not_now.reason)

    async def _hand_back(self, job: Job, reason: str, due_at: datetime | None = None) -> bool:
        """Hand back what cannot go now, as due as it was; what may not wait any longer ends."""
        work, now = job.work, self.now()
        late = [lease for lease in work.deliveries if now >= lease.expires_at]
        ends = [outcomes.expired(lease, now) for lease in late]
        told = await self._settle(job, ends) if ends else False
        rest = tuple(lease for lease in work.deliveries if lease not in late)
        if rest:
            await self.leases.release(rest, due_at, reason=reason or None)
        return told

    async def _end(self, job: Job) -> bool:
        """Settle what is not tried any more, and leave the job with the rest."""
        work, now = job.work, self.now()
        if not any(lease.is_cancelled or lease.strikes for lease in work.deliveries):
            return False
        cancelled = [lease for lease in work.deliveries if lease.is_cancelled]
        if cancelled:
            ends = tuple(outcomes.cancelled(lease, now) for lease in cancelled)
            await self.leases.settle(work, ends)
        rest = [lease for lease in work.deliveries if not lease.is_cancelled]
        aside = tuple(filter(quarantine.is_set_aside, rest))
        job.work = replace(work, deliveries=tuple(one for one in rest if one not in aside))
        if not aside:
            return False
        return await self._set_aside(work, [quarantine.set_aside(one, now) for one in aside])

    async def _keep_back(self, job: Job) -> bool:
        """Hold what must not be used (GDPR article 18) to its end, and leave the job the rest."""
        work = job.work
        if not (held := await self.restraints.keep_back(work)):
            return False
        end = max(lease.expires_at for lease in held)
        reason = QueuedDelivery.Reason.RESTRICTED.value
        told = await self._hand_back(Job(replace(work, deliveries=held)), reason, end)
        rest = tuple(lease for lease in work.deliveries if lease not in held)
        job.work = replace(work, deliveries=rest)
        return told

    async def _set_aside(self, work: Work, settlements: Sequence[Settlement]) -> bool:
        """Settle without a look at the content: whatever ends here has failed there before."""
        await self.leases.alert(QUARANTINED, str(work.organisation_id))
        told, now = outcomes.telling(work, settlements), self.now()
        if (later := await self._put_off(work, told, now)) is not None:
            await self.leases.settle(work, later)
            return False
        try:
            notice = await self._notice(work, told, b"", now) if told.action else None
            await self.leases.settle(work, told.settlements, notice)
        except Exception as fault:  # noqa: BLE001 - its end must not depend on the notice
            logger.error("delivery: end of message %s: %s", work.message_id, type(fault).__name__)
            await self.leases.alert(UNTOLD, str(work.organisation_id))
            await self.leases.settle(work, tuple(settlements))
            return False
        return notice is not None

    async def _carry(self, job: Job) -> bool:
        now, work = self.now(), job.work
        if work.is_sandbox:
            # Before any route is asked for, so that there is no server to send to.
            ends = [sandbox.settled(work, lease, now, self.random) for lease in work.deliveries]
            return await self._settle(job, ends)
        try:
            target = await self.routes.target(work.organisation_id, work.domain)
        except VaultError:
            return await self._judge(job, now, await self._unopened(job))
        if isinstance(target, Waits):
            if target.until is not None:
                raise NotNow(target.reason, target.until)
            # Where all of it ends, its notice comes next, and says why it waits.
            job.is_shut_out = any(now < lease.expires_at for lease in work.deliveries)
            return await self._hand_back(job, target.reason)
        late = [lease for lease in work.deliveries if outcomes.too_late(lease, now)]
        if late:
            job.work = work = replace(
                work, deliveries=tuple(lease for lease in work.deliveries if lease not in late)
            )
            await self._settle(job, [outcomes.expired(lease, now) for lease in late])
        if not work.deliveries:
            return True
        if await self.metering.is_over(work):
            told = await self._hand_back(job, QueuedDelivery.Reason.OVER_QUOTA.value)
            return told or bool(late)
        asked = _as_asked(work, target)
        return await (self._part(job, asked) if asked.kind == DIRECT else self._try(job, asked))

    async def _part(self, job: Job, target: RouteTarget) -> bool:
        """Send to each destination by itself, side by side: none waits for another, or fails it."""
        work = job.work
        parts = [
            Job(replace(work, deliveries=leases), sent=job.sent, destination=name)
            for name, leases in by_destination(work.deliveries).items()
        ]
        found = await asyncio.gather(
            *(self._carried(part, self._try(part, target.to(part.destination))) for part in parts),
            return_exceptions=True,
        )
        job.not_now = next((part.not_now for part in parts if part.not_now), None)
        for fault in found:
            if isinstance(fault, BaseException):
                raise fault
        return any(found)

    async def _try(self, job: Job, target: RouteTarget) -> bool:
        told = False
        while True:
            work, started_at = job.work, self.now()
            async with AsyncExitStack() as held:
                found = await self._send(job, target, held)
                if any(one and one.scope is Scope.ROUTE and one.code for one in found):
                    # RFC 4954 §6: the mail server refused who we are, not the mail. It waits.
                    await self.routes.pause(target, Route.PauseReason.SIGN_IN_REFUSED)
                if not job.destination:
                    # What other people's servers say is nothing that the route could be told by.
                    await self.routes.heed(target, found)
                if any(one and is_host_refusal(one) for one in found):
                    await self.leases.alert(REFUSED_AS_HOST, str(target.route_id))
                # Written before the next transaction begins, which then cannot undo it.
                told |= await self._judge(job, started_at, found, target.kind)
            again = zip(work.deliveries, found, strict=True)
            rest = tuple(lease for lease, outcome in again if outcome is None)
            if not rest:
                return told
            job.work = replace(work, deliveries=rest)

    async def _judge(
        self, job: Job, started_at: datetime, found: Sequence[Outcome | None], kind: str = ""
    ) -> bool:
        finished_at = self.now()
        settlements = [
            outcomes.judged(
                job.work,
                lease,
                Tried(started_at=started_at, finished_at=finished_at, outcome=outcome, kind=kind),
                self.random,
            )
            for lease, outcome in zip(job.work.deliveries, found, strict=True)
            if outcome is not None
        ]
        return await self._settle(job, settlements)

    async def _send(
        self, job: Job, target: RouteTarget, held: AsyncExitStack
    ) -> Sequence[Outcome | None]:
        """Send; content that is large stays in `held`, which its notice may need as well."""
        work = job.work

        async def content() -> bytes:
            if target.rate is not None:
                await self.pace.spend(target)
            if work.ciphertext is None:
                await held.enter_async_context(self.room.hold(work.organisation_id, work.octets))
                held.callback(job.let_go)
            return await self.signer.sign(work, target, await self._content(job))

        async def on_dot(taken: Sequence[int]) -> None:
            marked = tuple(work.deliveries[place] for place in taken)
            await self.leases.mark_dots(marked)
            job.sent.update(lease.id for lease in marked)

        try:
            envelope = await self.paths.envelope(work, target, work.deliveries)
            found = await self.transport.send(target, envelope, content, on_dot)
            return found if envelope.sender == work.sender else list(map(_told_here, found))
        except (LeaseLost, KeyGone, NotNow):
            raise
        except VaultError:
            return await self._unopened(job)
        except Exception as fault:  # noqa: BLE001 - counts as a try, so that it ends one day
            logger.error("delivery: message %s: %s", work.message_id, type(fault).__name__)
            return [_broken(lease.id in job.sent) for lease in work.deliveries]

    async def _unopened(self, job: Job) -> list[Outcome]:
        """Tell the operator what only a person can mend; counts as a try, so that it ends."""
        work = job.work
        logger.error("delivery: message %s cannot be opened", work.message_id)
        await self.leases.alert(UNOPENED, str(work.organisation_id))
        return [outcomes.UNOPENED] * len(work.deliveries)

    async def _content(self, job: Job) -> bytes:
        """Return the content in clear. Raises KeyGone or VaultError."""
        work = job.work
        if work.is_sandbox:
            # It would not open; large content must not be read for that outside its room.
            raise VaultError("content of the sandbox is never opened")
        if job.content is None:
            sealed = work.ciphertext
            if sealed is None:
                sealed = await self.leases.content(work.message_id)
            if sealed is None:
                raise KeyGone("")
            if self.sealer.missing([work.organisation_id], self.now()):
                await self.leases.learn({work.organisation_id})
            job.content = self.sealer.open(work, sealed)
        return job.content

    async def _settle(self, job: Job, settlements: Iterable[Settlement]) -> bool:
        work, now = job.work, self.now()
        told = outcomes.telling(work, settlements)
        if told.action is None:
            await self._write(work, told.settlements)
            return False
        if (later := await self._put_off(work, told, now)) is not None:
            await self._write(work, later)
            return False
        return await self._tell(job, told, now)

    async def _put_off(
        self, work: Work, told: Telling, now: datetime
    ) -> tuple[Settlement, ...] | None:
        """Return the settlements without the notice when its organisation had too many of late."""
        # What nobody receives floods nobody, and must not hold up notices about live mail.
        if told.action is None or work.is_sandbox:
            return None
        turn = await self.limit.turn(work.organisation_id, now)
        is_late = turn > now and outcomes.may_owe(work, turn)
        return outcomes.owing(work, told, turn) if is_late else None

    async def _tell(self, job: Job, told: Telling, now: datetime) -> bool:
        """Settle together with the notice, or else leave what it is about waiting for it."""
        work = job.work
        try:
            content = await self._content(job)
        except KeyGone:
            await self._write(work, told.settlements)
            return False
        except VaultError:
            content = b""  # the sender is told nevertheless, without the message's headers
        notice = await self._notice(work, told, content, now)
        try:
            await self._write(work, told.settlements, notice)
        except Refused:
            logger.error("delivery: notice on message %s cannot be stored", work.message_id)
            await self.leases.alert(UNTOLD, str(work.organisation_id))
            await self._write(work, outcomes.owing(work, told, now + outcomes.NOTICE_AGAIN))
            return False
        return True

    async def _notice(self, work: Work, told: Telling, content: bytes, now: datetime) -> Accepted:
        restricted = await self.restraints.of(work.organisation_id)
        return outcomes.notice(work, told, content, self.hostname, now, restricted=restricted)

    async def _write(
        self, work: Work, settlements: tuple[Settlement, ...], notice: Accepted | None = None
    ) -> None:
        """Settle. Raises Refused when notice or verdict cannot be stored, or nothing now."""
        try:
            await self.leases.settle(work, settlements, notice)
        except Refused:
            # What the remote said cannot be stored: its verdict still must.
            bare = tuple(replace(settlement, tried=None) for settlement in settlements)
            await self.leases.settle(work, bare, notice)


def _as_asked(work: Work, target: RouteTarget) -> RouteTarget:
    """Return the target as the message itself wants it reached; to demand counts for more."""
    if work.require_tls:
        return target.demanding_tls()
    return replace(target, waives=True) if work.tls_optional else target


def _broken(after_dot: bool) -> Outcome:
    return Outcome(verdict=Verdict.RETRY, scope=Scope.INFRASTRUCTURE, after_dot=after_dot)


def _told_here(outcome: Outcome | None) -> Outcome | None:
    """Whoever reports to this service tells the sender nothing."""
    return replace(outcome, took_dsn=False) if outcome else None
