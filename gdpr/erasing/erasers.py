# SPDX-License-Identifier: AGPL-3.0-or-later
"""What each eraser of the inventory does to the rows of a person. Role `duty`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import BinaryField, Field, QuerySet

from gdpr import subjects
from gdpr.registry import Entry, Eraser, Held, SubjectPath, Whose
from gdpr.subjects import Subject


@dataclass(frozen=True, slots=True)
class Done:
    """How many rows of one table were deleted, and how many emptied of the person."""

    removed: int = 0
    changed: int = 0


def erase(entry: Entry, subject: Subject) -> Done:
    """Apply every path of a table that changes rows; doing it again finds nothing to do."""
    paths = entry.for_subject(Whose.PERSON)
    # Emptied first: a row that names the person in passing is not theirs to delete.
    changed = sum(_blank(entry, path, subject) for path in paths if path.eraser is Eraser.BLANK)
    removed = sum(_delete(entry, path, subject) for path in paths if path.eraser is Eraser.ROW)
    return Done(removed=removed, changed=changed)


def release(entry: Entry, held: Held, keys: Collection[str]) -> None:
    """Do to rows, given by their keys as text, what is done when no law holds them any more."""
    rows = _left(entry, held, keys)
    if held.empties:
        rows.update(**_emptied(entry, held.empties))
    else:
        rows.delete()


def left(entry: Entry, held: Held, keys: Collection[str]) -> set[str]:
    """Return which of these rows are there and have in them what `release` takes away."""
    return {str(key) for key in _left(entry, held, keys).values_list("pk", flat=True)}


def _left(entry: Entry, held: Held, keys: Collection[str]) -> QuerySet[Any]:
    rows = subjects.model_of(entry)._default_manager.filter(pk__in=keys)
    return rows.exclude(**_emptied(entry, held.empties)) if held.empties else rows


def _delete(entry: Entry, path: SubjectPath, subject: Subject) -> int:
    _, by_model = subjects.rows_by(entry, subject, path).delete()
    return by_model.get(entry.model, 0)


def _blank(entry: Entry, path: SubjectPath, subject: Subject) -> int:
    return subjects.rows_by(entry, subject, path).update(**_emptied(entry, path.fields))


def _emptied(entry: Entry, names: Iterable[str]) -> dict[str, str | bytes | None]:
    meta = subjects.model_of(entry)._meta
    return {name: _empty(meta.get_field(name)) for name in names}


def _empty(field: Any) -> str | bytes | None:
    assert isinstance(field, Field)
    if field.null:
        return None
    return b"" if isinstance(field, BinaryField) else ""
