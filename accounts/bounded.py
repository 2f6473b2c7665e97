# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a child process that reads what strangers wrote may use, and what it may know.

Nothing here needs settings: a child calls `bound` before it loads anything else.
"""

from __future__ import annotations

import os
import resource
import sys
from types import TracebackType

# The status of a child that got no more memory.
EXHAUSTED = 4


def environment(directory: str) -> dict[str, str]:
    """Return what a child is told: no setting, so no secret and no database."""
    return {
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": directory,
        "TMPDIR": directory,
    }


def bound(*, mebibytes: int, seconds: int | None = None) -> None:
    """Bound address space and processor time of this process; a core file could hold names.

    It limits itself, so that nothing it opens later is outside. The limits also hold when the
    parent is gone.
    """
    if seconds is not None:
        _limit(resource.RLIMIT_CPU, seconds)
    # macOS knows this limit and refuses every value.
    if sys.platform != "darwin":
        _limit(resource.RLIMIT_AS, mebibytes * 1024 * 1024)
    _limit(resource.RLIMIT_CORE, 0)
    sys.excepthook = _end


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def allow_seconds(more: int) -> None:
    """Bound the processor time of this process to what it has used, and so many seconds more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + more
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _end(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, MemoryError):
        # Without memory a traceback may fail as well, and what is torn down adds lines.
        os.write(2, b"MemoryError\n")
        os._exit(EXHAUSTED)
    sys.__excepthook__(kind, value, trace)
