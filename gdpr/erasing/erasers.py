# SPDX-License-Identifier: AGPL-3.0-or-later
"""What each eraser of the inventory does to the rows of a person. Role `duty`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import BinaryField, Field

from gdpr import subjects
from gdpr.registry import Entry, Eraser, SubjectPath, Whose
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


def _delete(entry: Entry, path: SubjectPath, subject: Subject) -> int:
    _, by_model = subjects.rows_by(entry, subject, path).delete()
    return by_model.get(entry.model, 0)


def _blank(entry: Entry, path: SubjectPath, subject: Subject) -> int:
    meta = subjects.model_of(entry)._meta
    empty = {name: _empty(meta.get_field(name)) for name in path.fields}
    return subjects.rows_by(entry, subject, path).update(**empty)


def _empty(field: Any) -> str | bytes | None:
    assert isinstance(field, Field)
    if field.null:
        return None
    return b"" if isinstance(field, BinaryField) else ""
