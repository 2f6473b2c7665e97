# SPDX-License-Identifier: AGPL-3.0-or-later
"""Acts of a person on a package that they brought along: held, taken over or thrown away."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit, limits
from accounts.models import User
from accounts.rectification import rectify_organisation, rectify_person
from accounts.refusals import Refused
from accounts.tenancy import organisation_context, person_context
from gdpr.importing import reading
from gdpr.importing.planning import Plan, plan
from gdpr.models import Import

# Each leaves what was not written here, up to a whole package, and all come out again.
MOST_TAKEN = 20


class Enough(Refused):
    text: Promise = _(
        "You have taken over as many packages as one account keeps. Write to us; we help you."
    )


class NothingHeld(Refused):
    text: Promise = _("There is no package that waits for you any more. Upload it once more.")


def hold(package: bytes, person: User, now: datetime) -> Import:
    """Read a package and hold it for the person's yes, in place of one that was held.

    Call it outside a transaction: reading takes seconds. Raises what reading.read raises, Enough,
    and limits.TooMany.
    """
    limits.check(reading.IMPORTS, str(person.pk))
    brought = reading.read(package, person)
    with person_context(person.pk):
        # There is one proposal at a time: taking it over adds one.
        if Import.objects.filter(person=person, taken_at__isnull=False).count() >= MOST_TAKEN:
            raise Enough
        throw_away(person)
        return Import.objects.create(
            person=person,
            records=list(brought.records),
            made_at=brought.made_at,
            proposed_at=now,
        )


def held(person: User) -> Import:
    """Return what is held for the person's yes. Raises NothingHeld."""
    row = Import.objects.filter(person=person, proposed_at__isnull=False).first()
    if row is None:
        raise NothingHeld
    return row


def take(person: User, now: datetime) -> Plan:
    """Take over what is held, as things stand at this moment; return what was done.

    Raises NothingHeld.
    """
    with transaction.atomic():
        # Of two browsers one takes it.
        rows = Import.objects.select_for_update(of=("self",))
        row = rows.filter(person=person, proposed_at__isnull=False).first()
        if row is None:
            raise NothingHeld
        made = plan(row.records, person)
        row.records, row.proposed_at, row.taken_at = made.kept, None, now
        row.save()
        _write(made, person)
    return made


def _write(made: Plan, person: User) -> None:
    rectify_person(person, made.person)
    for house, values in made.organisations.items():
        with organisation_context(house.pk, person_id=person.pk):
            rectify_organisation(house, values, by=person)
    audit.record_installation(person, "person.imported", person)


def throw_away(person: User) -> None:
    """Forget what is held; harmless when nothing is."""
    Import.objects.filter(person=person, proposed_at__isnull=False).delete()
