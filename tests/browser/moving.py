# SPDX-License-Identifier: AGPL-3.0-or-later
"""The clock of all processes, this one included: they read how far it is moved from one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from accounts import clock


@contextmanager
def moved_clock() -> Iterator[None]:
    """Let the clock be moved; it is right again afterwards."""
    yield
    _file().unlink(missing_ok=True)


def forward(step: timedelta) -> None:
    go_to(clock.now() + step)


def go_to(at: datetime) -> None:
    """Make it this time now; it goes on from there."""
    _file().write_text(str((at - datetime.now(UTC)).total_seconds()))


def _file() -> Path:
    return Path(settings.TEST_CLOCK_FILE)
