# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a child process may use. It limits itself, so that nothing it opens later is outside."""

from __future__ import annotations

import os
import resource
import sys
from types import TracebackType

SECONDS = 20
# How long the parent waits for a child that stands still, which SECONDS do not end. The work is all
# computing, and may take its time on a busy machine; the lease of a package lasts longer.
PATIENCE = 7 * SECONDS
MEBIBYTES = 512
# The status of a child that got no more memory.
EXHAUSTED = 4


def bound() -> None:
    """Bound processor time and address space of this process; a core file could hold names.

    The limits also hold when the parent is gone.
    """
    _limit(resource.RLIMIT_CPU, SECONDS)
    # macOS knows this limit and refuses every value.
    if sys.platform != "darwin":
        _limit(resource.RLIMIT_AS, MEBIBYTES * 1024 * 1024)
    _limit(resource.RLIMIT_CORE, 0)
    sys.excepthook = _end


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _end(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, MemoryError):
        # Without memory a traceback may fail as well, and what is torn down adds lines.
        os.write(2, b"MemoryError\n")
        os._exit(EXHAUSTED)
    sys.__excepthook__(kind, value, trace)
