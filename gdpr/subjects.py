# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose data a row holds: finding the rows of a subject by the paths of the inventory."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from accounts.addresses import normalised
from accounts.models import User
from gdpr.registry import Entry, Key, SubjectPath, Whose


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A person with an account, or whoever an address in customers' mail belongs to.

    `organisation_id` narrows a correspondent to the mail of one customer, their controller.
    """

    whose: Whose
    address: str = field(repr=False)
    person_id: UUID | None = None
    organisation_id: UUID | None = None


def person(user: User) -> Subject:
    return Subject(whose=Whose.PERSON, address=user.email, person_id=user.pk)


def correspondent(address: str, *, organisation_id: UUID | None = None) -> Subject:
    return Subject(
        whose=Whose.CORRESPONDENT, address=normalised(address), organisation_id=organisation_id
    )


def rows(entry: Entry, subject: Subject) -> QuerySet[Any]:
    """Return the rows of a table that lead to the subject by any path."""
    conditions = [condition(entry, path, subject) for path in entry.for_subject(subject.whose)]
    model = model_of(entry)
    if not conditions:
        return model._default_manager.none()
    found = Q()
    for one in conditions:
        found |= one
    return _of_customer(model._default_manager.filter(found), subject)


def rows_by(entry: Entry, path: SubjectPath, subject: Subject) -> QuerySet[Any]:
    """Return the rows that lead to the subject by this path alone."""
    model = model_of(entry)
    return _of_customer(model._default_manager.filter(condition(entry, path, subject)), subject)


def condition(entry: Entry, path: SubjectPath, subject: Subject) -> Q:
    """Return a path as a condition on the rows of the entry's table."""
    value = subject.person_id if path.key is Key.ID else subject.address
    if value is None:
        return Q(pk__in=[])
    if path.finder:
        return Q(pk__in=pkgutil.resolve_name(path.finder)(value))
    if path.through is None:
        return Q(**{path.lookup: value})
    there = apps.get_model(path.through.model)._default_manager
    joined = {name: OuterRef(here) for here, name in path.through.on}
    return Q(Exists(there.filter(**joined, **path.through.where, **{path.lookup: value})))


def model_of(entry: Entry) -> type[Model]:
    return apps.get_model(entry.model)


def _of_customer(found: QuerySet[Any], subject: Subject) -> QuerySet[Any]:
    if subject.organisation_id is None:
        return found
    # Models of other apps and frameworks among them: not all have `for_organisation`.
    return found.filter(Q(organisation_id=subject.organisation_id))
