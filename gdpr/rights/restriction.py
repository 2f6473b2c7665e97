# SPDX-License-Identifier: AGPL-3.0-or-later
"""Restriction of an account (GDPR article 18): kept, and not used, on one ground or several.

It stops what the service would do with the account: sign-ins reach the person's own rights and
nothing else (accounts/access.py), mails that are not about those or about security do not leave
(accounts/emails.py), and staff look at it for the reasons of article 18(2) alone
(accounts/admin.py). It does not stop storage, the person's own rights, or what was agreed with the
organisation. The only owner of one can ask for it as well: its mail goes on, and staff are told
that nobody can act as owner there. The person takes it back when they like, for that is consent;
the service ends it only days after it has said so.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit, roster
from accounts.models import User
from accounts.refusals import Refused
from gdpr import requests
from gdpr.deadlines import day_of
from gdpr.letters import drafts, writing
from gdpr.models import PersonRestriction, Request, RequestedRight, Right

State = RequestedRight.State
Ground = PersonRestriction.Ground

# Between the letter that says so and the end (article 18(3)).
NOTICE_DAYS = 3
NOTICE = timedelta(days=NOTICE_DAYS)
# Grounds that a person chooses from.
CHOSEN = (Ground.ACCURACY, Ground.UNLAWFUL, Ground.CLAIMS)
# Mails to the owners of an organisation reach nobody; the alert's subject is its id.
SILENCED = "organisation-silenced"


class NotRestricted(Refused):
    text: Promise = _("Nothing of this account is restricted that could be ended here.")


def in_force(person: User) -> QuerySet[PersonRestriction]:
    """Return why an account is restricted, the oldest ground first."""
    rows = PersonRestriction.objects.filter(person=person, lifted_at=None)
    return rows.order_by("restricted_at", "id")


def ask(person: User, ground: Ground, words: str, now: datetime) -> Request:
    """Restrict the account of a person who has stepped up in the portal. Role `web`."""
    with transaction.atomic():
        request = requests.open_by_person(person, {Right.RESTRICTION: words}, now)
        right = request.rights.get()
        requests.mark_begun(right, now)
        _carry_out(right, person, ground, now)
    return request


def impose(
    person: User, ground: Ground, now: datetime, *, right: RequestedRight | None = None
) -> PersonRestriction:
    """Restrict an account on a ground, until the right that it hangs on is answered.

    Roles `web` and `duty`.
    """
    with transaction.atomic():
        _hold(person)
        row = PersonRestriction.objects.create(
            person=person, right=right, ground=ground, restricted_at=now
        )
        _write(person)
    return row


def begin(right: RequestedRight, person: User, now: datetime) -> None:
    """Carry out a request that names its ground in words, or none. Roles `web` and `duty`."""
    _carry_out(right, person, Ground.ASKED, now)


def _carry_out(right: RequestedRight, person: User, ground: Ground, now: datetime) -> None:
    """Restrict and answer: it harms nobody else, so nobody has to look at it first."""
    impose(person, ground, now)
    requests.move(right, State.DONE, requests.person(person), now)
    drafts.send(writing.done(right))


def settle(right: RequestedRight, now: datetime) -> None:
    """End what hangs on a right that is over: at once where the person took it back or has seen
    to it, after its notice where staff have answered. Roles `web` and `staff`.
    """
    person = right.request.person
    if person is None:
        return
    if right.state == State.WITHDRAWN:
        lift_of(right, person, now)
    for row in in_force(person).filter(right=right, ends_at=None):
        announce(row, now)


def announce(row: PersonRestriction, now: datetime) -> None:
    """Say when a restriction ends, and let it (article 18(3)). Role `staff`."""
    row.ends_at = now + NOTICE
    row.save(update_fields=["ends_at"])
    with translation.override(row.person.language):
        ground = row.get_ground_display()
    drafts.send(writing.lifting(row.person, ground, day_of(row.ends_at)))


def end_by_staff(row: PersonRestriction, now: datetime, *, by: User) -> None:
    """Announce the end of a restriction that hangs on nothing. Role `staff`.

    Raises NotRestricted where it is over, is announced, or ends with an answer or an erasure.
    """
    is_bound = row.right is not None and row.right.closed_at is None
    if row.lifted_at or row.ends_at or is_bound:
        raise NotRestricted
    with transaction.atomic():
        announce(row, now)
        audit.record_installation(by, "restriction.announced", row)


def end_due(now: datetime) -> int:
    """Lift what was announced and is over; return how many. Role `duty`."""
    due = PersonRestriction.objects.filter(lifted_at=None, ends_at__lte=now)
    people = User.objects.filter(pk__in=due.values("person"))
    return sum(_lift(due.filter(person=person), person, now) for person in people)


def watch() -> int:
    """Tell staff of organisations whose owners are all restricted; return how many. Role `duty`."""
    found = [str(key) for key in roster.silenced().values_list("pk", flat=True)]
    for organisation_id in found:
        alerts.raise_alert(SILENCED, organisation_id)
    alerts.resolve_others(SILENCED, found)
    return len(found)


def lift_of(right: RequestedRight, person: User, now: datetime) -> None:
    """End what hangs on a right that the person took back, or is being answered about just now."""
    _lift(in_force(person).filter(right=right), person, now)


def _lift(rows: QuerySet[PersonRestriction], person: User, now: datetime) -> int:
    """End some grounds; the account can be used again when no other is left."""
    with transaction.atomic():
        _hold(person)
        count = rows.update(lifted_at=now)
        _write(person)
    return count


def lift_own(person: User, now: datetime) -> None:
    """End what the person asked for and wants no more. An erasure is cancelled, not lifted.

    Raises NotRestricted. Role `web`.
    """
    with transaction.atomic():
        if not _lift(in_force(person).exclude(ground=Ground.COOL_DOWN), person, now):
            raise NotRestricted
        audit.record_installation(person, "restriction.ended", person)


def _hold(person: User) -> None:
    """Have grounds that begin and end at the same moment wait for each other."""
    User.objects.select_for_update().get(pk=person.pk)


def _write(person: User) -> None:
    first = in_force(person).aggregate(first=Min("restricted_at"))["first"]
    person.restricted_at = first
    person.save(update_fields=["restricted_at"])
