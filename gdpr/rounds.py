# SPDX-License-Identifier: AGPL-3.0-or-later
"""A round of the worker: each row by itself, so that a fault of one keeps no other waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import transaction
from django.db.models import Model

from accounts import alerts

logger = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Model)


def each(kind: str, rows: Iterable[Row], act: Callable[[Row], bool]) -> int:
    """Do an act for each row, in a transaction of its own; return for how many it was done.

    `kind` is the alert that stands for each row with which the last round failed. Role `duty`.
    """
    done, failed = 0, set[str]()
    for row in rows:
        try:
            with transaction.atomic():
                done += act(row)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others do not wait for it
            # Its text can hold what the person wrote: only its kind is kept.
            logger.error("%s %s: %s", kind, row.pk, type(error).__name__)
            alerts.raise_alert(kind, str(row.pk))
            failed.add(str(row.pk))
    alerts.resolve_others(kind, failed)
    return done
