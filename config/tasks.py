# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from celery import shared_task

from accounts import clock
from config import promises


@shared_task(name="config.check_promises")
def check_promises() -> None:
    promises.record(promises.look(), clock.now())
