# SPDX-License-Identifier: AGPL-3.0-or-later
"""Erasure of one's own account (GDPR article 17): asked for, thought over, cancelled.

From the question on the account is restricted (article 18), so that whoever asked in a person's
name can do nothing more with it. What happens when the time is over is in gdpr/erasing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, links, recovery, signin, team
from accounts.models import Organisation, User
from accounts.refusals import Refused
from accounts.tenancy import person_context
from gdpr import inventory, requests
from gdpr.erasing import certificate, letters, plan
from gdpr.models import Erasure, RequestedRight, Right
from gdpr.registry import Eraser, Whose
from gdpr.rights import restriction

COOL_DOWN_HOURS = 72
COOL_DOWN = timedelta(hours=COOL_DOWN_HOURS)
LINK_PURPOSE = "erasure-cancel"
# What an erasure waits for besides, staff or another owner, has no end of its own: as long as it
# can be cancelled the link of its mail must open.
LINK_DAYS = 365


class OwnedAlone(Refused):
    text: Promise = _("You are the only owner of an organisation: hand it over or close it first.")


class NothingToCancel(Refused):
    text: Promise = _("The erasure can no longer be cancelled.")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an erasure does by the inventory, before anybody has counted.

    Titles of tables; of what stays, why and how long as well.
    """

    deleted: list[str]
    anonymised: list[str]
    kept: list[Stays]


@dataclass(frozen=True, slots=True)
class Stays:
    """A table of which rows can stay: by which article and law, and by which rule they go."""

    title: str
    why: str
    how_long: str


def outlook() -> Outlook:
    """Return the titles in the active language."""
    return Outlook(
        deleted=_titles(plan.DELETING),
        anonymised=_titles(plan.ANONYMISING),
        kept=list(_staying()),
    )


def _staying() -> Iterator[Stays]:
    for entry, ground in plan.grounds():
        law = entry.held.law if entry.held and ground.is_lasting else None
        yield Stays(str(entry.title), certificate.why(ground, law), certificate.how_long(entry))


def obstacles(person: User) -> list[Organisation]:
    """Return the organisations that must be handed over or closed first."""
    return plan.owned_alone(person.pk)


def open_erasure(person: User) -> Erasure | None:
    """Return the erasure of this account that is not at its end."""
    rows = Erasure.objects.filter(right__request__person=person, ended_at=None)
    return rows.select_related("right__request").first()


def ask(person: User, now: datetime, *, session_key: str | None) -> Erasure:
    """Begin the time to think, restrict the account and end its other sessions. Role `web`.

    Raises OwnedAlone, requests.AlreadyOpen.
    """
    with transaction.atomic():
        request = requests.open_by_person(person, {Right.ERASURE: ""}, now)
        right = request.rights.get()
        requests.mark_begun(right, now)
        return begin(right, person, now, by=person, session_key=session_key)


def begin(
    right: RequestedRight,
    person: User,
    now: datetime,
    *,
    by: User | None = None,
    session_key: str | None = None,
) -> Erasure:
    """Begin the time to think of a request that is proven, and approved where it has to be.

    `by` is None for the service; the session with `session_key` is kept.
    Raises OwnedAlone. Roles `web` and `duty`.
    """
    with transaction.atomic():
        # Another owner who leaves or asks at this moment waits, and sees the restriction.
        for organisation_id in plan.owned_by(person.pk):
            team.hold(organisation_id)
        if obstacles(person):
            raise OwnedAlone
        erasure = Erasure.objects.create(
            right=right,
            language=person.language,
            asked_at=now,
            due_at=now + COOL_DOWN,
        )
        restriction.impose(person, restriction.Ground.COOL_DOWN, now, right=erasure.right)
        signin.end_sessions(person.pk, keep=session_key)
        letters.erasure_asked(person, erasure, _token(erasure, person))
        audit.record_installation(by, "erasure.requested", erasure)
    return erasure


def cancel(person: User, now: datetime, *, session_key: str | None) -> None:
    """Take it all back; the account is as it was, and its other sessions end.

    Raises NothingToCancel. Role `web`.
    """
    with transaction.atomic():
        _take_back(person, now)
        signin.end_sessions(person.pk, keep=session_key)


def _take_back(person: User, now: datetime, **which: UUID) -> None:
    with transaction.atomic():
        rows = Erasure.objects.select_for_update(of=("self",)).filter(**which)
        mine = rows.filter(right__request__person=person, state=Erasure.State.WAITING)
        erasure = mine.select_related("right").first()
        if erasure is None or erasure.right is None:
            raise NothingToCancel
        _end(erasure, person, now)
        letters.erasure_cancelled(person)
        withdrawn = RequestedRight.State.WITHDRAWN
        requests.move(erasure.right, withdrawn, requests.person(person), now)
        audit.record_installation(person, "erasure.cancelled", erasure)


def cancel_by_link(token: str, now: datetime) -> None:
    """Cancel the erasure that the link is about, signed in or not.

    Whoever asked in the person's name may know the password: it opens nothing afterwards, and
    every session ends. Raises links.LinkInvalid, links.LinkExpired, NothingToCancel.
    """
    person_id, erasure_id = _read(token)
    with person_context(person_id):
        person = User.objects.filter(pk=person_id).first()
        if person is None:
            raise NothingToCancel
        _take_back(person, now, pk=erasure_id)
        recovery.void_password(person)


def is_running(right: RequestedRight) -> bool:
    """Say whether the person's data are going already: then nobody can decide otherwise."""
    return Erasure.objects.filter(right=right, state=Erasure.State.RUNNING).exists()


def is_assessed(erasure: Erasure) -> bool:
    """Say whether staff have taken it over, so that it does not run by itself."""
    if erasure.state != Erasure.State.WAITING or erasure.right is None:
        return False
    return erasure.right.state != RequestedRight.State.ACT


def leave_to_staff(
    right: RequestedRight, to: RequestedRight.State, by: User, now: datetime
) -> None:
    """Have the erasure follow what staff decide about its right, before that is written down.

    While they assess it, it waits; with an answer it ends and the account can be used again.
    Raises requests.IllegalMove when it runs already. Role `staff`.
    """
    rows = Erasure.objects.select_for_update(of=("self",)).filter(right=right, ended_at=None)
    erasure = rows.first()
    if erasure is None:
        return
    if erasure.state == Erasure.State.RUNNING:
        raise requests.IllegalMove
    if to in RequestedRight.FINAL:
        _end(erasure, right.request.person, now)
        audit.record_installation(by, "erasure.cancelled", erasure)


def held_up_by(erasure: Erasure, person: User) -> list[Organisation]:
    """Return the organisations for want of another owner of which an erasure did not begin."""
    return obstacles(person) if erasure.fault == Erasure.Fault.LAST_OWNER else []


def check_link(token: str) -> None:
    """Raises links.LinkInvalid, links.LinkExpired, NothingToCancel."""
    person_id, erasure_id = _read(token)
    with person_context(person_id):
        mine = Erasure.objects.filter(pk=erasure_id, right__request__person=person_id)
        if not mine.filter(state=Erasure.State.WAITING).exists():
            raise NothingToCancel


def _read(token: str) -> tuple[UUID, UUID]:
    """Return the ids of the person and of the one erasure that the link cancels."""
    values = links.read(LINK_PURPOSE, token)
    return UUID(values["person"]), UUID(values["erasure"])


def _token(erasure: Erasure, person: User) -> str:
    values = {"person": str(person.pk), "erasure": str(erasure.pk)}
    return links.make(LINK_PURPOSE, values, erasure.asked_at + timedelta(days=LINK_DAYS))


def _end(erasure: Erasure, person: User | None, now: datetime) -> None:
    erasure.state, erasure.ended_at, erasure.completed_at = Erasure.State.CANCELLED, now, now
    erasure.save(update_fields=["state", "ended_at", "completed_at"])
    if person is not None and erasure.right is not None:
        restriction.lift_of(erasure.right, person, now)


def _titles(erasers: frozenset[Eraser]) -> list[str]:
    entries = [one for one in inventory.entries_about(Whose.PERSON) if one.model != plan.OWN]
    return [
        str(entry.title)
        for entry in entries
        if any(path.eraser in erasers for path in entry.for_subject(Whose.PERSON))
    ]
