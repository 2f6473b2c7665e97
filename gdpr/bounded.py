# SPDX-License-Identifier: AGPL-3.0-or-later
"""Work on what others have written, in a process of its own that cannot take much or know much."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import tempfile

from django.conf import settings

from accounts.bounded import EXHAUSTED, environment
from gdpr.typesetting.limits import PATIENCE

logger = logging.getLogger(__name__)

# What ends a child at a limit: processor time, no memory in a C library, or in Python.
SPENT = {
    -signal.SIGXCPU,
    -signal.SIGKILL,
    -signal.SIGABRT,
    -signal.SIGSEGV,
    -signal.SIGTRAP,
    EXHAUSTED,
}
WORDS = 500


class BoundedError(Exception):
    """The work was not done; `spent` says whether it was for want of time or memory."""

    def __init__(self, reason: str, *, spent: bool) -> None:
        super().__init__(reason)
        self.spent = spent


def run(module: str, order: bytes, *, patience: float = PATIENCE) -> bytes:
    """Return what `python -m module` writes when it reads `order`. Raises BoundedError.

    The child inherits no settings, so it holds no secret and knows no database; its directory
    goes with it, also when it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="brevdue-") as directory:
        command = [sys.executable, "-m", module]
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                command,
                input=order,
                capture_output=True,
                timeout=patience,
                env=_environment(directory),
                cwd=settings.BASE_DIR,
            )
        except subprocess.TimeoutExpired:
            raise BoundedError("took too long", spent=True) from None
    if done.returncode != 0:
        # The status alone: the reason may quote what was worked on.
        logger.error("%s ended with status %s", module, done.returncode)
        raise _failure(done)
    return done.stdout


def _environment(directory: str) -> dict[str, str]:
    assets = settings.BASE_DIR / "gdpr" / "assets"
    return {
        **environment(directory),
        "XDG_CACHE_HOME": directory,
        "FONTCONFIG_FILE": str(assets / "fonts.conf"),
        # The font subsets carry a time of change, which would differ from run to run.
        "SOURCE_DATE_EPOCH": "0",
    }


def _failure(done: subprocess.CompletedProcess[bytes]) -> BoundedError:
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    reason = last[0][:WORDS] if last else "no reason given"
    return BoundedError(f"status {done.returncode}: {reason}", spent=done.returncode in SPENT)
