# SPDX-License-Identifier: AGPL-3.0-or-later
"""A worker of its own process that erases one address and is killed at one of the steps.

Arguments: the erasure, the instant, the step to die at, and whether before or after its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import Any
from uuid import UUID

import django


def main(erasure_id: str, now: str, step: str, moment: str) -> None:
    django.setup()
    from gdpr.correspondents import run, steps  # noqa: PLC0415 - models need the set-up

    mark, take = steps._mark, run._take

    def mark_and_die(work: steps.Work) -> None:
        if work.erasure.step == step and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        mark(work)

    def take_and_die(erasure: Any, now: datetime) -> None:
        take(erasure, now)
        if erasure.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    steps._mark, run._take = mark_and_die, take_and_die
    run.carry_out(UUID(erasure_id), datetime.fromisoformat(now))


if __name__ == "__main__":
    main(*sys.argv[1:])
