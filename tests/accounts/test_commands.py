# SPDX-License-Identifier: AGPL-3.0-or-later
"""The operator's commands work as one database role and refuse to report on what another sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("command", "role", "wrong"),
    [
        ("rotate_keys", "duty", "web"),
        ("verify_audit", "duty", "web"),
        ("relay_queue", "relay", "web"),
        ("relay_queue", "relay", "duty"),
        ("make_keyring", "relay", "web"),
    ],
)
def test_wrong_role_is_refused(
    settings: Settings, tmp_path: Path, command: str, role: str, wrong: str
) -> None:
    settings.DATABASE_ROLE = wrong
    settings.VAULT_URL = tmp_path.as_uri()
    with pytest.raises(CommandError, match=f"database role {role}, not {wrong}"):
        call_command(command)
    assert not list(tmp_path.iterdir())
