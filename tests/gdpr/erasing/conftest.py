# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings
from redis import Redis

from accounts.keyfiles import directory_of
from accounts.models import Organisation, User
from gdpr.erasing import run
from gdpr.models import Erasure
from gdpr.rights import erasure
from tests import build
from tests.gdpr.erasing import seeds
from tests.gdpr.erasing.held import erased

ASKED_AT = build.NOW
OVER = ASKED_AT + erasure.COOL_DOWN


@pytest.fixture(autouse=True)
def _own_places(settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")
    settings.AUDIT_ANCHORS = str(tmp_path / "anchors")
    settings.PACKAGES = str(tmp_path / "packages")
    # A seal is renewed when its end is near, and here the clock goes that far: nobody else's is.
    seal = shutil.copytree(directory_of(configured.SEAL_KEYS_URL), tmp_path / "seal")
    settings.SEAL_KEYS_URL = Path(seal).as_uri()
    with Redis.from_url(configured.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


@pytest.fixture
def house(db: None) -> Organisation:
    return build.organisation("Duehuset ApS")


@pytest.fixture
def gone(house: Organisation) -> User:
    return seeds.somebody("Gerda", "Gået", house)


@pytest.fixture
def stays(house: Organisation) -> User:
    return seeds.somebody("Bodil", "Bliver", house)


@pytest.fixture
def asked(gone: User) -> Erasure:
    """The erasure that Gerda has asked for at ASKED_AT; her time to think ends at OVER."""
    with build.as_owner():
        return erasure.ask(gone, ASKED_AT, session_key=None)


@pytest.fixture
def carried_out(asked: Erasure) -> Erasure:
    """Gerda's erasure, with all its steps; agreements that she signed or is named in are left."""
    assert run.carry_out(asked.pk, later())
    asked.refresh_from_db()
    return asked


@pytest.fixture
def done(gone: User) -> Erasure:
    """The same as far as it matters later: what is left was written down, and she is gone."""
    return erased(gone)


def later(**passed: float) -> datetime:
    return OVER + timedelta(**passed)
