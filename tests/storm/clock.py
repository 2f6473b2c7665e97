# SPDX-License-Identifier: AGPL-3.0-or-later
"""The time as the service under test takes it: the machine's, moved by what a file says."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Clock:
    """Moves the clocks of all processes that have `variable()` in their environment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.offset = 0.0
        # By this clock, right after: when it was put back, and when it was last put forward.
        self.put_back: list[float] = []
        self.put_forward = 0.0
        self.move(0.0)

    def variable(self) -> dict[str, str]:
        return {"TEST_CLOCK_FILE": str(self._file)}

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.offset

    def move(self, seconds: float) -> None:
        """Put the clock forward, or back; nobody ever reads half a figure."""
        self.offset += seconds
        fresh = self._file.with_suffix(".new")
        fresh.write_text(repr(self.offset))
        os.replace(fresh, self._file)
        if seconds < 0:
            self.put_back.append(self.now())
        elif seconds > 0:
            self.put_forward = self.now()
