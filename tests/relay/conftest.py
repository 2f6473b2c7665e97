# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest

from accounts.models import Organisation
from tests.relay import mail


@pytest.fixture
def house() -> Organisation:
    return mail.organisation()
