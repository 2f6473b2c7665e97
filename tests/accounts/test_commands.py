# SPDX-License-Identifier: AGPL-3.0-or-later
"""The operator's commands work as one database role and refuse to report on what another sees."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import vault
from accounts.models import OrganisationKey
from tests import build

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("command", "role", "wrong"),
    [
        ("rotate_keys", "duty", "web"),
        ("verify_audit", "duty", "web"),
        ("relay_queue", "relay", "web"),
        ("relay_queue", "relay", "duty"),
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


@pytest.mark.as_role("duty")
def test_keys_are_rotated(settings: Settings, tmp_path: Path) -> None:
    settings.DATABASE_ROLE, settings.VAULT_URL = "duty", tmp_path.as_uri()
    build.organisation("Duehuset ApS")
    told = StringIO()
    call_command("rotate_keys", settle=0, stdout=told)
    assert "key 2 made; 1 values sealed again" in told.getvalue()
    assert vault.sealed_with(OrganisationKey.objects.get().sealed) == 2


@pytest.mark.as_role("duty")
def test_audit_is_verified(settings: Settings) -> None:
    settings.DATABASE_ROLE = "duty"
    told = StringIO()
    call_command("verify_audit", stdout=told)
    assert told.getvalue() == "Every chain is whole.\n"
