# SPDX-License-Identifier: AGPL-3.0-or-later
"""Acts on requests: open, move from state to state, extend, note. Each writes a step.

What a right means is done elsewhere (gdpr/rights); here is only how far it has come. An act that
the person, the state or the clock does not allow raises and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import User
from accounts.refusals import Refused
from gdpr import deadlines
from gdpr.courses import AUTOMATIC, automatic
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
# Where a request can go while nobody has proven whose it is: nowhere that discloses or changes.
UNPROVEN = frozenset(
    {State.IDENTITY, State.PAUSED, State.NOT_IDENTIFIABLE, State.WITHDRAWN},
)
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


class Unproven(Refused):
    text: Promise = _("It is not proven yet who asks.")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who takes a step, and in which capacity."""

    by: Step.By
    user: User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a request came: the clock counts from `received_at`, answers are in `language`."""

    channel: Request.Channel
    received_at: datetime
    language: str


SERVICE = Actor(Step.By.SERVICE)


def person(user: User) -> Actor:
    return Actor(Step.By.PERSON, user)


def staff(user: User) -> Actor:
    return Actor(Step.By.STAFF, user)


def open_by_person(user: User, rights: Mapping[Right, str], now: datetime) -> Request:
    """Open a request of a person who has just proved in the portal who they are.

    `rights` come with what the person wrote. Raises NothingAsked, AlreadyOpen.
    """
    channel = Request.Channel.PORTAL
    arrival = Arrival(channel=channel, received_at=now, language=user.language)
    return open_proven(user, rights, arrival, person(user), now)


def open_proven(
    user: User, rights: Mapping[Right, str], arrival: Arrival, by: Actor, now: datetime
) -> Request:
    """Open a request of a person whose identity is proven; rights and what they wrote.

    Automatic rights are in state ACT afterwards, the others in ASSESS.
    Raises NothingAsked, AlreadyOpen.
    """
    with transaction.atomic():
        # The person's own row is the lock: two browsers do not open the same request at once.
        User.objects.select_for_update().get(pk=user.pk)
        if running(user.id) & rights.keys():
            raise AlreadyOpen
        request = _new_request(rights, arrival, by, now, person=user, proven_at=now)
        for row in request.rights.all():
            _enter(row, State.IDENTITY, by, now)
            _let_run(row, by, now, automatic(arrival.channel))
        audit.record_installation(by.user, "request.opened", request, sorted(rights))
    return request


def open_unproven(
    rights: Mapping[Right, str], arrival: Arrival, by: Actor, now: datetime
) -> Request:
    """Open a request of which nobody knows yet whose it is: it has no person and blocks nobody's.

    Raises NothingAsked.
    """
    with transaction.atomic():
        request = _new_request(rights, arrival, by, now)
        for row in request.rights.all():
            _enter(row, State.IDENTITY, by, now)
        audit.record_installation(by.user, "request.opened", request, sorted(rights))
    return request


def prove(request: Request, user: User | None, by: Actor, now: datetime, *, how: str) -> None:
    """Say whose a request is, None for somebody without an account, and how that was seen.

    What runs by itself does, but for what is under way for the person already: staff see to that.
    Raises IllegalMove when it is proven or closed, ReasonMissing.
    """
    if not how.strip():
        raise ReasonMissing
    with transaction.atomic():
        held = Request.objects.select_for_update().get(pk=request.pk)
        if held.proven_at is not None or held.closed_at is not None:
            raise IllegalMove
        own = automatic(held.channel) - running(user.id) if user else frozenset()
        held.person, held.proven_at = user, now
        held.save(update_fields=["person", "proven_at"])
        for row in held.rights.filter(closed_at=None):
            note(row, Step.Kind.PROVEN, by, now, reason=how)
            _let_run(row, by, now, own)
        audit.record_installation(by.user, "request.proven", held)


def look_again(row: RequestedRight, by: Actor, now: datetime, *, details: str) -> RequestedRight:
    """Open a request in which somebody else looks at the answer again, with a clock of its own.

    Raises IllegalMove where there is no answer yet, where the person took the request back, and
    where that was done once: the authority and the courts come next.
    """
    with transaction.atomic():
        hold(row)
        if not may_look_again(row):
            raise IllegalMove
        request, asked = row.request, {Right(row.right): details}
        arrival = Arrival(
            channel=Request.Channel(request.channel), received_at=now, language=request.language
        )
        made = _new_request(
            asked, arrival, by, now, person=request.person, proven_at=request.proven_at
        )
        second = made.rights.get()
        second.second_look_of = row
        _enter(second, State.IDENTITY, by, now)
        _enter(second, State.ASSESS, by, now)
        audit.record_installation(by.user, "request.opened", made, [row.right])
    return second


def may_look_again(row: RequestedRight) -> bool:
    """Say whether the person can ask for a second look at what became of a right."""
    answered = not row.is_open and row.state != State.WITHDRAWN
    is_first = row.second_look_of_id is None and row.request.proven_at is not None
    return answered and is_first and not RequestedRight.objects.filter(second_look_of=row).exists()


def move(row: RequestedRight, to: str, by: Actor, now: datetime, *, reason: str = "") -> None:
    """Take a right to another state; `row` shows it afterwards. `reason` is what the person reads.

    Raises IllegalMove, Unproven, ReasonMissing.
    """
    state = State(to)
    with transaction.atomic():
        hold(row)
        if state not in MOVES.get(State(row.state), frozenset()):
            raise IllegalMove
        if row.request.proven_at is None and state not in UNPROVEN:
            raise Unproven
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


def mark_begun(row: RequestedRight, now: datetime) -> None:
    """Note that the service has done what it does by itself about a right, so that it is once."""
    row.begun_at = now
    row.save(update_fields=["begun_at"])


def open_rights(person_id: UUID) -> QuerySet[RequestedRight]:
    """Return the person's rights that are not answered yet."""
    return RequestedRight.objects.filter(request__person_id=person_id, closed_at=None)


def running(person_id: UUID) -> frozenset[Right]:
    """Return the rights that the service carries out for the person already, once at a time."""
    rows = open_rights(person_id).filter(right__in=AUTOMATIC, second_look_of=None)
    return frozenset(map(Right, rows.values_list("right", flat=True)))


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


def _new_request(
    rights: Mapping[Right, str], arrival: Arrival, by: Actor, now: datetime, **whose: Any
) -> Request:
    if not rights:
        raise NothingAsked
    request = Request.objects.create(
        channel=arrival.channel,
        language=arrival.language,
        received_at=arrival.received_at,
        **whose,
    )
    for right, details in rights.items():
        _new_right(request, right, details, by, now)
    return request


def _new_right(request: Request, right: Right, details: str, by: Actor, now: datetime) -> None:
    clock = deadlines.clock(request.received_at, now)
    row = RequestedRight.objects.create(
        request=request,
        right=right,
        details=details,
        promised_on=clock.promised_on,
        due_on=clock.due_on,
    )
    note(row, Step.Kind.RECEIVED, by, now)


def _let_run(row: RequestedRight, by: Actor, now: datetime, own: frozenset[Right]) -> None:
    """Take a right to whoever sees to it, the service for `own` rights, now that it is proven."""
    _enter(row, State.ASSESS, by, now)
    if row.right in own:
        _enter(row, State.ACT, SERVICE, now)


def hold(row: RequestedRight) -> None:
    """Read a right again; nobody else moves it, or another of its request, in this transaction."""
    # The request first: of two rights that end at once, the second one sees that the first has.
    request = Request.objects.select_for_update().get(pk=row.request_id)
    row.refresh_from_db(from_queryset=RequestedRight.objects.select_for_update())
    row.request = request


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
