# SPDX-License-Identifier: AGPL-3.0-or-later
"""Acts on requests: open, move from state to state, extend, note. Each writes a step.

What a right means is done elsewhere (gdpr/rights); here is only how far it has come. An act that
the person, the state or the clock does not allow raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import User
from accounts.refusals import Refused
from gdpr import deadlines
from gdpr.courses import AUTOMATIC
from gdpr.deadlines import Clock, Pause
from gdpr.models import Request, RequestedRight, Right, Step

State = RequestedRight.State

MOVES: dict[State, set[State]] = {
    State.RECEIVED: {State.IDENTITY, State.WITHDRAWN},
    State.IDENTITY: {State.ASSESS, State.PAUSED, State.NOT_IDENTIFIABLE, State.WITHDRAWN},
    State.ASSESS: {State.ACT, State.PAUSED, State.REFUSED, State.WITHDRAWN},
    State.PAUSED: {State.IDENTITY, State.ASSESS, State.NOT_IDENTIFIABLE, State.WITHDRAWN},
    # A hold or a fault sends back to people what would have run by itself.
    State.ACT: {State.ASSESS, State.DONE, State.PARTLY_DONE, State.REFUSED, State.WITHDRAWN},
}
# Steps whose reason the person reads: without one they must not be taken (article 12(3) and (4)).
NEED_REASONS = RequestedRight.EXPLAINED | {State.PAUSED}


class IllegalMove(Refused):
    text: Promise = _("The request is not in a state in which that can be done.")


class ReasonMissing(Refused):
    text: Promise = _("Give the reasons; the person is entitled to them.")


class TooLate(Refused):
    text: Promise = _("The limit has passed; it can no longer be extended.")


class AlreadyOpen(Refused):
    text: Promise = _("You have asked for that already, and the answer is on its way.")


class NothingAsked(Refused):
    text: Promise = _("Choose at least one right.")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who takes a step, and in which capacity."""

    by: Step.By
    user: User | None = None


SERVICE = Actor(Step.By.SERVICE)


def person(user: User) -> Actor:
    return Actor(Step.By.PERSON, user)


def staff(user: User) -> Actor:
    return Actor(Step.By.STAFF, user)


def open_by_person(user: User, rights: Mapping[Right, str], now: datetime) -> Request:
    """Open a request of a person who has just proved who they are; rights and what they wrote.

    Automatic rights are in state ACT afterwards, the others in ASSESS.
    Raises NothingAsked, AlreadyOpen.
    """
    with transaction.atomic():
        request = _new_request(user, rights, now)
        for right, details in rights.items():
            row = _new_right(request, right, details, now)
            for state in (State.IDENTITY, State.ASSESS):
                _enter(row, state, person(user), now)
            if right in AUTOMATIC:
                _enter(row, State.ACT, SERVICE, now)
        audit.record_installation(user, "request.opened", request, sorted(rights))
    return request


def move(row: RequestedRight, to: str, by: Actor, now: datetime, *, reason: str = "") -> None:
    """Take a right to another state; `row` shows it afterwards. `reason` is what the person reads.

    Raises IllegalMove, ReasonMissing.
    """
    state = State(to)
    with transaction.atomic():
        hold(row)
        if state not in MOVES.get(State(row.state), frozenset()):
            raise IllegalMove
        if state in NEED_REASONS and not reason.strip():
            raise ReasonMissing
        _enter(row, state, by, now, reason)
        audit.record_installation(by.user, f"request.{state}", row)


def extend(row: RequestedRight, by: Actor, now: datetime, *, reason: str) -> None:
    """Give a right three months from receipt, once, with reasons (article 12(3)).

    Raises IllegalMove, TooLate, ReasonMissing.
    """
    with transaction.atomic():
        hold(row)
        if not row.is_open or row.extended_at is not None:
            raise IllegalMove
        if not reason.strip():
            raise ReasonMissing
        if not deadlines.may_extend(clock_of(row, now).due_on, now):
            raise TooLate
        row.extended_at = now
        note(row, Step.Kind.EXTENDED, by, now, reason=reason)
        _set_clock(row, now)
        audit.record_installation(by.user, "request.extended", row)


def note(
    row: RequestedRight, kind: Step.Kind, by: Actor, now: datetime, *, reason: str = ""
) -> None:
    """Write a step that moves nothing: a package was made, fetched or destroyed."""
    actor_id = audit.actor_id(None, by.user) if by.user else None
    Step.objects.create(
        right=row, kind=kind, by=by.by, actor_id=actor_id, at=now, reason=reason.strip()
    )


def open_rights(person_id: UUID) -> QuerySet[RequestedRight]:
    """Return the person's rights that are not answered yet."""
    return RequestedRight.objects.filter(request__person_id=person_id, closed_at=None)


def pauses(row: RequestedRight) -> list[Pause]:
    """Return the questions to the person and when each was answered, from the steps."""
    found: list[Pause] = []
    for step in row.steps.filter(kind__in=State.values).order_by("id"):
        if found and found[-1].answered_at is None:
            found[-1] = replace(found[-1], answered_at=step.at)
        if step.kind == Step.Kind.PAUSED:
            found.append(Pause(asked_at=step.at))
    return found


def clock_of(row: RequestedRight, now: datetime) -> Clock:
    """Return both dates of a right as they stand now; while it stands still, days move them."""
    received_at = row.request.received_at
    return deadlines.clock(received_at, now, pauses(row), extended=row.extended_at is not None)


def stands_still(row: RequestedRight, now: datetime) -> bool:
    """Say whether a question to the person, asked in time, has stopped the clock of a right."""
    return deadlines.stands_still(row.request.received_at, pauses(row), now)


def question_would_stop(row: RequestedRight, now: datetime) -> bool:
    """Say whether a question asked now would stop the clock of a right."""
    asked = [*pauses(row), Pause(asked_at=now)]
    return deadlines.stands_still(row.request.received_at, asked, now)


def _new_request(user: User, rights: Mapping[Right, str], now: datetime) -> Request:
    if not rights:
        raise NothingAsked
    # The person's own row is the lock: two browsers do not open the same request at once.
    User.objects.select_for_update().get(pk=user.pk)
    if open_rights(user.id).filter(right__in=AUTOMATIC & rights.keys()).exists():
        raise AlreadyOpen
    return Request.objects.create(
        person=user, channel=Request.Channel.PORTAL, language=user.language, received_at=now
    )


def _new_right(request: Request, right: Right, details: str, now: datetime) -> RequestedRight:
    clock = deadlines.clock(request.received_at, now)
    row = RequestedRight.objects.create(
        request=request,
        right=right,
        details=details,
        promised_on=clock.promised_on,
        due_on=clock.due_on,
    )
    note(row, Step.Kind.RECEIVED, Actor(Step.By.PERSON, request.person), now)
    return row


def hold(row: RequestedRight) -> None:
    """Read a right again; nobody else moves it, or another of its request, in this transaction."""
    # The request first: of two rights that end at once, the second one sees that the first has.
    Request.objects.select_for_update().get(pk=row.request_id)
    row.refresh_from_db(from_queryset=RequestedRight.objects.select_for_update())


def _enter(row: RequestedRight, state: State, by: Actor, now: datetime, reason: str = "") -> None:
    note(row, Step.Kind(state), by, now, reason=reason)
    row.state = state
    if state in RequestedRight.FINAL:
        row.closed_at, row.resolution = now, reason.strip()
    _set_clock(row, now)
    if state in RequestedRight.FINAL:
        _close_when_all_are(row.request, now)


def _set_clock(row: RequestedRight, now: datetime) -> None:
    clock = clock_of(row, now)
    row.promised_on, row.due_on = clock.promised_on, clock.due_on
    row.save()


def _close_when_all_are(request: Request, now: datetime) -> None:
    if not request.rights.filter(closed_at=None).exists():
        request.closed_at = now
        request.save(update_fields=["closed_at"])
