# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tenancy, enforced twice: `for_organisation()` in the query, row-level security in the database.

A context opens a transaction and tells PostgreSQL whose rows it may see; outside one, the role
`web` sees no tenant row at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self, TypeVar
from uuid import UUID

from django.db import connection, models, transaction

Row = TypeVar("Row", bound=models.Model)


@contextmanager
def organisation_context(organisation_id: UUID, *, person_id: UUID | None = None) -> Iterator[None]:
    """See and write the rows of one organisation, and of `person_id` when given."""
    with _context(organisation_id, person_id):
        yield


@contextmanager
def person_context(person_id: UUID) -> Iterator[None]:
    """See one person's rows and no organisation's: sign-in, before an organisation is chosen."""
    with _context(None, person_id):
        yield


@contextmanager
def staff_context() -> Iterator[None]:
    """Read across organisations as the database role `staff`; only after a second factor."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (before,) = cursor.fetchone()
        cursor.execute("SET LOCAL ROLE staff")
        yield
        cursor.execute(f"SET LOCAL ROLE {connection.ops.quote_name(before)}")


@contextmanager
def _context(organisation_id: UUID | None, person_id: UUID | None) -> Iterator[None]:
    # A rollback undoes a local setting by itself; leaving well must undo it by hand, because an
    # outer transaction (a test's, or a nested context's) goes on.
    with transaction.atomic():
        before = _enter(str(organisation_id or ""), str(person_id or ""))
        yield
        _enter(*before)


def _enter(organisation: str, person: str) -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(current_setting('app.organisation', true), ''),"
            " coalesce(current_setting('app.person', true), '')"
        )
        before: tuple[str, str] = cursor.fetchone()
        cursor.execute(
            "SELECT set_config('app.organisation', %s, true), set_config('app.person', %s, true)",
            [organisation, person],
        )
    return before


class TenantQuerySet(models.QuerySet[Row]):
    def for_organisation(self, organisation_id: UUID | models.OuterRef) -> Self:
        """Return only the organisation's rows; the database hides the others as well."""
        return self.filter(organisation_id=organisation_id)


class TenantModel(models.Model):
    """A row that belongs to one organisation."""

    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.CASCADE, related_name="+"
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True
