# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Organisation
from tests.relay import mail
from tests.testbed.certificates import Authority


@pytest.fixture
def house() -> Organisation:
    return mail.organisation()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def keyring(tmp_path: Path, settings: Settings) -> Path:
    """A keyring that no other test uses."""
    settings.KEYRING_URL = (tmp_path / "keyring").as_uri()
    return tmp_path / "keyring"
