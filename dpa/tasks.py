# SPDX-License-Identifier: AGPL-3.0-or-later
"""Work of the worker (role `duty`): the operator's seal."""

from __future__ import annotations

from celery import shared_task

from accounts import clock
from dpa import sealing


@shared_task(name="dpa.countersign")
def countersign() -> None:
    sealing.countersign(clock.now())
