# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an outcome means for a delivery, and what its sender is told. Decides; does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accounts.ids import uuid7, uuid7_time
from relay.discretion import Restricted
from relay.models import Delivery, QueuedDelivery
from relay.queue import Accepted, Leased, Settlement, Tried, Work
from relay.smtp import dsn, schedule
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Outcome, Scope, Verdict, demands_tls
from relay.smtp.tls import TlsDemand
from relay.smtp.waited import Waited
from relay.suppressing import fingerprint

State = Delivery.State
Reason = QueuedDelivery.Reason

# A notice that cannot be stored now is tried again after this.
NOTICE_AGAIN = timedelta(minutes=15)
# A try that comes later than this after the lifetime's end is not made any more.
LATE = timedelta(minutes=10)
# An hour more than the longest lifetime: with it the last hour key goes.
OWED_MOST = timedelta(hours=121)
# RFC 3463 §3.4: X.3.* is about the mail system itself; no code, because no server was asked.
UNOPENED = Outcome(
    verdict=Verdict.RETRY,
    scope=Scope.INFRASTRUCTURE,
    enhanced="4.3.0",
    text="the message could not be opened",
)
STARTTLS_FIRST = 530  # RFC 3207 §4
# Says nothing: its notification says why it waited instead.
UNTRIED = Outcome(verdict=Verdict.RETRY, scope=Scope.ROUTE)


def judged(work: Work, lease: Leased, tried: Tried, random: Callable[[], float]) -> Settlement:
    """Decide what becomes of a delivery after an attempt."""
    outcome, now = tried.outcome, tried.finished_at
    settlement = Settlement(
        delivery=lease,
        state=State.WAITING,
        at=now,
        possible_duplicate=outcome.after_dot,
        tried=tried,
    )
    if outcome.verdict is Verdict.DELIVERED:
        return replace(settlement, state=State.DELIVERED)
    if outcome.verdict is Verdict.BOUNCED:
        return replace(settlement, state=State.BOUNCED, suppress=_suppress(work, lease, outcome))
    lifetime = lease.expires_at - work.accepted_at
    due_at = schedule.next_attempt(lease.attempts + 1, work.accepted_at, now, lifetime, random)
    if due_at is None:
        return replace(settlement, state=State.EXPIRED)
    return replace(settlement, due_at=due_at, reason=_reason(outcome))


def _suppress(work: Work, lease: Leased, outcome: Outcome) -> bytes | None:
    """Return by what an address is known that does not exist; what is simulated says nothing."""
    if not outcome.is_hard or work.is_sandbox:
        return None
    return fingerprint(work.organisation_id, lease.recipient.address)


def _reason(outcome: Outcome) -> Reason:
    if outcome.after_dot:
        return Reason.UNCERTAIN
    if outcome.code == STARTTLS_FIRST and not outcome.tls_version and demands_tls(outcome.text):
        return Reason.TLS
    if outcome.code:
        refused = outcome.scope is Scope.ROUTE
        return Reason.SIGN_IN_REFUSED if refused else Reason.DEFERRED
    if outcome.enhanced == UNOPENED.enhanced:
        return Reason.UNOPENED
    # RFC 3463 §3.8: X.7.* without a reply is about security, so about TLS.
    if outcome.enhanced.startswith("4.7."):
        return Reason.RECIPIENT_TLS if outcome.tls_demand == TlsDemand.STS else Reason.TLS
    return Reason.UNREACHABLE


def delayed(lease: Leased, now: datetime) -> Settlement:
    """Leave a delivery as it is, but that its sender is told of the delay."""
    return Settlement(
        delivery=lease, state=State.WAITING, at=now, due_at=lease.due_at, reason=lease.reason
    )


def too_late(lease: Leased, now: datetime) -> bool:
    """Whether the lifetime ended so long ago that no further try is made.

    What was given up is not tried at all: nobody has asked whether it is held.
    """
    return now > lease.expires_at + LATE or (lease.is_ending and now >= lease.expires_at)


def expired(lease: Leased, now: datetime) -> Settlement:
    return Settlement(delivery=lease, state=State.EXPIRED, at=now)


def cancelled(lease: Leased, now: datetime) -> Settlement:
    """Somebody of the organisation wished it, so nobody is told."""
    is_listed = lease.reason == Reason.SUPPRESSED
    why = Delivery.FinalReason.SUPPRESSED if is_listed else Delivery.FinalReason.BY_PERSON
    return Settlement(delivery=lease, state=State.CANCELLED, at=now, reason=why)


def key_gone(lease: Leased, now: datetime) -> Settlement:
    """Its hour key is destroyed, so it was final once: a restore brought the row back."""
    return Settlement(
        delivery=lease, state=State.CANCELLED, at=now, reason=Delivery.FinalReason.RESTORED
    )


def _delay_mark(work: Work, lease: Leased) -> datetime | None:
    return schedule.delay_notice_at(work.accepted_at, lease.expires_at - work.accepted_at)


@dataclass(frozen=True, slots=True)
class Telling:
    """What the sender is told: the settlements as they are then written, and about which ones."""

    settlements: tuple[Settlement, ...]
    action: dsn.Action | None
    about: tuple[Settlement, ...]


def telling(work: Work, settlements: Iterable[Settlement]) -> Telling:
    """Decide whether the sender is told of failures and relays, or else of the delay.

    RFC 3461 §5.2. That mail was delivered is for the next server to tell, if it knows how to.
    """
    settled = tuple(settlements)
    if work.tells_nobody:
        return Telling(settled, None, ())
    failed = tuple(filter(_tells_failure, settled))
    relayed = tuple(filter(_tells_relay, settled))
    if failed or relayed:
        action = dsn.Action.FAILED if failed else dsn.Action.RELAYED
        return Telling(settled, action, (*failed, *relayed))
    delayed = tuple(one for one in settled if _tells_delay(work, one))
    told = tuple(replace(s, delayed_notice_at=s.at) if s in delayed else s for s in settled)
    return Telling(told, dsn.Action.DELAYED if delayed else None, delayed)


def owing(work: Work, told: Telling, due_at: datetime) -> tuple[Settlement, ...]:
    """Return the settlements as they are while the sender cannot be told; never a silent end.

    What failed waits until `due_at`, and its notice is owed; a delay is told with a later try. That
    mail was handed on cannot wait, because it would go once more: the log says so.
    """
    waits = may_owe(work, due_at)
    return tuple(
        replace(one, state=State.WAITING, due_at=due_at, reason=Reason.UNTOLD)
        if waits and _tells_failure(one)
        else replace(one, delayed_notice_at=None)
        for one in told.settlements
    )


def may_owe(work: Work, due_at: datetime) -> bool:
    """Whether a notice may wait so long: content must not (GDPR article 5(1)(e))."""
    return due_at <= work.accepted_at + OWED_MOST


def _tells_failure(settlement: Settlement) -> bool:
    final = settlement.state in (State.BOUNCED, State.EXPIRED)
    return final and dsn.wants(settlement.delivery.recipient, dsn.Action.FAILED)


def _tells_relay(settlement: Settlement) -> bool:
    """RFC 3461 §5.2.2: the next server took the mail without the wish for a receipt."""
    tried, recipient = settlement.tried, settlement.delivery.recipient
    if not recipient.notify or tried is None or settlement.state != State.DELIVERED:
        return False
    return not tried.outcome.took_dsn and dsn.wants(recipient, dsn.Action.RELAYED)


def _tells_delay(work: Work, settlement: Settlement) -> bool:
    lease, mark = settlement.delivery, _delay_mark(work, settlement.delivery)
    if settlement.due_at is None or mark is None or lease.delayed_notice_at:
        return False
    return settlement.at >= mark and dsn.wants(lease.recipient, dsn.Action.DELAYED)


def notice(
    work: Work,
    told: Telling,
    content: bytes,
    hostname: str,
    now: datetime,
    *,
    restricted: Restricted,
) -> Accepted:
    """Write the notification of what has just become of a message."""
    return notification(
        _report(work, told, content, hostname, now),
        restricted=restricted,
        domain=work.domain,
        # The notice of a simulated refusal stays in the sandbox as well.
        is_sandbox=work.is_sandbox,
    )


def notification(
    report: dsn.Report, *, restricted: Restricted, domain: str, is_sandbox: bool
) -> Accepted:
    """Return the mail that brings a report to its sender, with the null reverse-path.

    `restricted`: of the organisation whose mail it is about. `domain`: whose route it takes.
    """
    identifier = uuid7(report.now)
    return Accepted(
        id=identifier,
        accepted_at=uuid7_time(identifier),
        organisation_id=restricted.organisation_id,
        credential_id=None,
        is_sandbox=is_sandbox,
        envelope=Envelope(
            sender="",
            recipients=(Recipient(report.sender, notify="NEVER"),),
            smtputf8=not report.sender.isascii(),
        ),
        content=dsn.build(restricted.left_out_of(report)),
        is_notification=True,
        author_domain=domain,
    )


def _report(work: Work, told: Telling, content: bytes, hostname: str, now: datetime) -> dsn.Report:
    assert told.action is not None
    return dsn.Report(
        action=told.action,
        message_id=work.message_id,
        sender=work.sender,
        recipients=tuple(map(_told, told.about)),
        original=content,
        accepted_at=work.accepted_at,
        now=now,
        expires_at=told.about[0].delivery.expires_at,
        reporting_host=hostname,
        envid=work.envid,
    )


def _told(settlement: Settlement) -> dsn.Told:
    tried, lease = settlement.tried, settlement.delivery
    # Whoever died over it may have tried it, and did not live to count that.
    was_tried = bool(lease.attempts or lease.strikes or lease.possible_duplicate)
    return dsn.Told(
        recipient=lease.recipient,
        outcome=tried.outcome if tried else UNTRIED,
        waited=None if tried else Waited(lease.reason, was_tried),
        attempted_at=tried.finished_at if tried else None,
        expired=settlement.state == State.EXPIRED,
        relayed=settlement.state == State.DELIVERED,
    )
