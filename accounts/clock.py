# SPDX-License-Identifier: AGPL-3.0-or-later
"""The time, for code that is not given one. Tests of a running stack move it for all processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings


def now() -> datetime:
    """Return the current instant in UTC, moved by the seconds in TEST_CLOCK_FILE when that is set.

    The deploy check refuses the setting, so no production process reads the file.
    """
    return datetime.now(UTC) + _offset()


def _offset() -> timedelta:
    if not settings.TEST_CLOCK_FILE:
        return timedelta()
    file = Path(settings.TEST_CLOCK_FILE)
    return timedelta(seconds=float(file.read_text() or 0)) if file.exists() else timedelta()
