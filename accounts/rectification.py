# SPDX-License-Identifier: AGPL-3.0-or-later
"""Correcting what is kept about a person or an organisation (GDPR, article 16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from accounts.audit import record, record_installation
from accounts.models import Organisation, User


def rectify_person(person: User, values: Mapping[str, Any], *, by: User | None = None) -> list[str]:
    """Write what differs to the person's row; return the names of the changed fields.

    `by` is who does it where it is not the person.
    """
    changed = _write(person, values)
    if changed:
        record_installation(by or person, "person.rectified", person, changed)
    return changed


def rectify_organisation(
    organisation: Organisation, values: Mapping[str, Any], *, by: User
) -> list[str]:
    """Write what differs to the organisation's row; return the names of the changed fields."""
    changed = _write(organisation, values)
    if changed:
        record(by, "organisation.rectified", organisation, changed)
    return changed


def _write(row: Model, values: Mapping[str, Any]) -> list[str]:
    changed = [name for name, value in values.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    if changed:
        row.save(update_fields=changed)
    return changed
