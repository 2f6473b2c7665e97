# SPDX-License-Identifier: AGPL-3.0-or-later
"""Deciding whom a person's packages name beside them: the exception of article 15(4)'s rule."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.addresses import normalised
from accounts.models import User
from accounts.refusals import Refused
from gdpr.models import Release


class NoSuchPerson(Refused):
    text: Promise = _("Nobody has an account with that address.")


class OwnPackages(Refused):
    text: Promise = _("You cannot decide about your own packages; a colleague must.")


class SamePerson(Refused):
    text: Promise = _("That is the person's own address; it is never hidden from them.")


class AlreadyReleased(Refused):
    text: Promise = _("That is decided already.")


def of(person: User) -> QuerySet[Release]:
    """Return whom the person's packages name, in the order in which it was decided."""
    return Release.objects.filter(person=person).order_by("pk")


def in_force(person: User) -> QuerySet[Release]:
    """Return whom a package made now shows: nobody whose own data are kept and not used meanwhile.

    Role `duty`.
    """
    restricted = User.objects.filter(restricted_at__isnull=False)
    return of(person).exclude(address__in=restricted.values("email"))


def owner_of(owner: str, address: str, by: User) -> User:
    """Return the person at `owner`, in whose packages `by` may decide to show `address`.

    Raises NoSuchPerson, OwnPackages, SamePerson, AlreadyReleased. Role `staff`.
    """
    person = User.objects.filter(email=normalised(owner)).first()
    if person is None:
        raise NoSuchPerson
    if person == by:
        raise OwnPackages
    if person.email == normalised(address):
        raise SamePerson
    if of(person).filter(address=normalised(address)).exists():
        raise AlreadyReleased
    return person


def decide(row: Release, by: User, now: datetime) -> None:
    """Show the other person in what is made for the person from now on. Role `staff`."""
    row.address, row.decided_at = normalised(row.address), now
    with transaction.atomic():
        row.save(force_insert=True)
        audit.record_installation(by, "release.decided", row.person)


def take_back(row: Release, by: User) -> None:
    """Hide the other person again in what is made from now on. Raises OwnPackages. Role `staff`."""
    if row.person == by:
        raise OwnPackages
    with transaction.atomic():
        row.delete()
        audit.record_installation(by, "release.taken-back", row.person)
