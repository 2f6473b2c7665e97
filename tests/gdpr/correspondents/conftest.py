# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings
from redis import Redis

from accounts.models import Organisation
from tests import build

ERIK = "erik@modtager.example"


@pytest.fixture(autouse=True)
def _own_places(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")
    settings.PACKAGES = str(tmp_path / "packages")
    settings.LOG_DIRECTORIES = []
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


@pytest.fixture
def now() -> datetime:
    """When the erasure is asked for: the log has days around it."""
    return datetime.now(UTC)


@pytest.fixture
def earlier(now: datetime) -> datetime:
    return now - timedelta(minutes=10)


@pytest.fixture
def house(db: None) -> Organisation:
    return build.organisation("Duehuset ApS")


@pytest.fixture
def neighbour(db: None) -> Organisation:
    return build.organisation("Andet Hus A/S")
