# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts import clock


@pytest.mark.parametrize(("content", "hours"), [("3600", 1), ("-7200\n", -2), ("", 0)])
def test_file_moves_the_clock(settings: Settings, tmp_path: Path, content: str, hours: int) -> None:
    settings.TEST_CLOCK_FILE = str(tmp_path / "offset")
    assert _error(0) < timedelta(seconds=1)
    (tmp_path / "offset").write_text(content)
    assert _error(hours) < timedelta(seconds=1)


def _error(hours: int) -> timedelta:
    return abs(clock.now() - datetime.now(UTC) - timedelta(hours=hours))
