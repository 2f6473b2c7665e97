# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rotation of the installation key: a new one, and everything sealed under the old ones again.

Each app names its columns in `AppConfig.sealed_columns`; what is sealed under an organisation's
key needs nothing, because only that key itself is sealed again. Runs as the role `duty`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import models, transaction

from accounts import vault


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column sealed under installation keys, for the purpose `<prefix>|<value of by>`."""

    model: str
    column: str
    prefix: str
    by: str

    def purpose(self, row: models.Model) -> str:
        return f"{self.prefix}|{getattr(row, self.by)}"

    def manager(self) -> models.Manager[models.Model]:
        manager: models.Manager[models.Model] = apps.get_model(self.model)._default_manager
        return manager


def sealed_columns() -> Iterator[SealedColumn]:
    for config in apps.get_app_configs():
        yield from getattr(config, "sealed_columns", ())


def reseal(number: int) -> int:
    """Seal again every value that is not under key `number` yet; return how many there were."""
    return sum(_reseal_column(column, number) for column in sealed_columns())


def _reseal_column(column: SealedColumn, number: int) -> int:
    # Some rows are emptied of what was sealed in them.
    full = column.manager().exclude(**{column.column: None})
    rows = full.values_list("pk", column.column).iterator()
    old = [key for key, sealed in rows if vault.sealed_with(sealed) != number]
    return sum(_reseal_row(column, key) for key in old)


def _reseal_row(column: SealedColumn, key: object) -> int:
    with transaction.atomic():
        # The row may have gone or been emptied since, for example a mail that was sent.
        row = column.manager().select_for_update().filter(pk=key).first()
        if row is None or getattr(row, column.column) is None:
            return 0
        purpose = column.purpose(row)
        opened = vault.unseal(purpose, getattr(row, column.column))
        setattr(row, column.column, vault.seal(purpose, opened))
        row.save(update_fields=[column.column])
    return 1
