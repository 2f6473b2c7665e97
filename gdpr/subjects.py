# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose data a row holds: finding the rows of a subject by the paths of the inventory."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from accounts.models import User
from gdpr.registry import Entry, Key, SubjectPath, Through, Whose


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A person with an account, or whoever an address in customers' mail belongs to."""

    whose: Whose
    address: str = field(repr=False)
    person_id: UUID | None = None


def person(user: User) -> Subject:
    return Subject(whose=Whose.PERSON, address=user.email, person_id=user.pk)


def rows(entry: Entry, subject: Subject) -> QuerySet[Any]:
    """Return the rows of a table that lead to the subject by any path."""
    return rows_by(entry, subject, *entry.for_subject(subject.whose))


def rows_by(entry: Entry, subject: Subject, *paths: SubjectPath) -> QuerySet[Any]:
    """Return the rows that lead to the subject by these paths, each row once."""
    found = Q(pk__in=[])
    for path in paths:
        found |= condition(entry, path, subject)
    return model_of(entry)._default_manager.filter(found)


def condition(entry: Entry, path: SubjectPath, subject: Subject) -> Q:
    """Return a path as a condition on the rows of the entry's table."""
    value = subject.person_id if path.key is Key.ID else subject.address
    if value is None:
        return Q(pk__in=[])
    if path.finder:
        return Q(pk__in=pkgutil.resolve_name(path.finder)(value))
    if path.through is None:
        return Q(**{path.lookup: value})
    return _found_through(path.through, {path.lookup: value})


def _found_through(through: Through, sought: dict[str, Any]) -> Q:
    there = apps.get_model(through.model)._default_manager.filter(**through.where, **sought)
    if through.listed:
        ((here, name),) = through.on
        return Q(**through.here, **{f"{here}__in": list(there.values_list(name, flat=True))})
    joined = {name: OuterRef(here) for here, name in through.on}
    return Q(Exists(there.filter(**joined)), **through.here)


def model_of(entry: Entry) -> type[Model]:
    return apps.get_model(entry.model)
