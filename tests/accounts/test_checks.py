# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from pytest_django.fixtures import Settings

from accounts import checks

pytestmark = pytest.mark.django_db


def _ids() -> set[str]:
    """The tests' own connection belongs to the owner of the tables."""
    return {error.id or "" for error in checks.check_database()}


def test_owner_is_refused() -> None:
    assert "accounts.E001" in _ids()
    with pytest.raises(ImproperlyConfigured):
        checks.refuse_unsafe_database()


@contextmanager
def _session(role: str) -> Iterator[None]:
    """Make the session another role's, as if the process had logged in as it."""
    original = checks.ROLE
    checks.ROLE = original.replace("session_user", f"'{role}'")
    try:
        yield
    finally:
        checks.ROLE = original


@pytest.mark.parametrize("role", ["web", "staff", "relay", "duty"])
def test_runtime_roles_are_accepted(role: str) -> None:
    with _session(role):
        assert not checks.unsafe_role()
        checks.refuse_unsafe_database()


def test_role_past_row_security_is_refused() -> None:
    with _session("backup"):
        assert checks.unsafe_role()


def test_database_that_forgets_is_refused() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    assert checks.unsafe_settings() == ["synchronous_commit"]
    assert "accounts.E002" in _ids()
    with _session("web"), pytest.raises(ImproperlyConfigured, match="synchronous_commit"):
        checks.refuse_unsafe_database()


def test_settings_for_tests_are_refused(settings: Settings, tmp_path: Path) -> None:
    settings.TEST_CLOCK_FILE = ""
    assert checks.check_test_clock() == []
    settings.TEST_CLOCK_FILE = str(tmp_path)
    assert [error.id for error in checks.check_test_clock()] == ["accounts.E003"]
    settings.VAULT_MAKE_KEYS = False
    assert checks.check_vault() == []
    settings.VAULT_MAKE_KEYS = True
    assert [error.id for error in checks.check_vault()] == ["accounts.E004"]
    settings.SITE_URL = "https://portal.example"
    assert [warning.id for warning in checks.check_proxies()] == ["accounts.W001"]
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.5")]
    assert checks.check_proxies() == []
    assert checks.check_password_rule() == []
    settings.PASSWORD_LENGTH = 7
    assert [error.id for error in checks.check_password_rule()] == ["accounts.E005"]


def moved(seconds: float) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "side"), [(40, "ahead of"), (-40, "behind")])
def test_clock_far_from_the_databases_is_refused(seconds: float, side: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f" s {side} that of the database"):
        checks.refuse_wrong_clock(moved(seconds))


@pytest.mark.parametrize("seconds", [20, -20])
def test_clock_that_goes_wrong_is_told(seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    checks.refuse_wrong_clock(moved(seconds))
    assert "that of the database" in caplog.text


def test_clock_in_step_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    assert checks.clock_ahead() == timedelta()
    checks.refuse_wrong_clock()
    assert caplog.text == ""
