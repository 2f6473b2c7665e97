# SPDX-License-Identifier: AGPL-3.0-or-later
"""A worker of its own process that carries out one erasure and is killed at one of its steps.

Arguments: the erasure, the instant, the step to die at, and whether before or after its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from uuid import UUID

import django


def main(erasure_id: str, now: str, name: str, moment: str) -> None:
    django.setup()
    from gdpr.erasing import run, steps  # noqa: PLC0415 - models need the set-up

    take, take_next = steps.take, run._take_next

    def take_and_die(work: steps.Work) -> None:
        take(work)
        if work.step.name == name and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if work.step.name == name:
            dying.append(name)

    def take_next_and_die(erasure_id: UUID, now: datetime) -> bool:
        going_on = take_next(erasure_id, now)
        if dying:
            os.kill(os.getpid(), signal.SIGKILL)
        return going_on

    dying: list[str] = []
    steps.take, run._take_next = take_and_die, take_next_and_die
    run.carry_out(UUID(erasure_id), datetime.fromisoformat(now))


if __name__ == "__main__":
    main(*sys.argv[1:])
