# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings as given
from pytest_django.fixtures import Settings

from accounts import limits
from tests.accounts.conftest import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time as the code sees it; a test moves it."""
    moved = Clock()
    monkeypatch.setattr("accounts.clock.now", moved)
    return moved


@pytest.fixture(autouse=True)
def _own_packages(settings: Settings, tmp_path: Path) -> None:
    settings.PACKAGES = str(tmp_path / "packages")


@pytest.fixture(autouse=True)
def _fresh_limits() -> None:
    limits._redis(given.REDIS_URL).flushdb()
