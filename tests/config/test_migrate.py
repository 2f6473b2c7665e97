# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from accounts import database
from config.management.commands import migrate

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("owner")]


def test_server_with_the_roles_is_migrated(capsys):
    call_command("migrate", verbosity=1, no_color=True)
    assert "No migrations to apply" in capsys.readouterr().out


def test_server_without_the_roles_says_how_to_make_them(monkeypatch):
    monkeypatch.setattr(migrate, "RUNTIME_ROLES", (*database.RUNTIME_ROLES, "nobody_has_this"))
    with pytest.raises(CommandError) as refused:
        call_command("migrate")
    assert "lacks the roles nobody_has_this" in str(refused.value)
    assert 'ALTER ROLE "web" LOGIN' in str(refused.value)
