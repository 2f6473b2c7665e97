# SPDX-License-Identifier: AGPL-3.0-or-later
"""`check --deploy` refuses a processor that does not exist, and warns of empty annexes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings as configured
from django.core.checks import CheckMessage, registry
from pytest_django.fixtures import Settings

from dpa.checks import INVENTED
from gdpr import recipients
from gdpr.models import Recipient
from tests import build

pytestmark = pytest.mark.django_db

NAMED = {
    "OPERATOR_NAME": "Posthuset A/S",
    "OPERATOR_ADDRESS": "Havnegade 5",
    "OPERATOR_COMPANY_NUMBER": "20000007",
    "PRIVACY_EMAIL": "gdpr@posthuset.test",
}


def found(*, deploy: bool = True) -> list[CheckMessage]:
    checks = registry.registry.get_checks(include_deployment_checks=deploy)
    own = [check for check in checks if check.__module__ == "dpa.checks"]
    return [message for check in own for message in check(app_configs=None, databases=None)]


def ids(**given: bool) -> list[str]:
    return [str(message.id) for message in found(**given)]


@pytest.fixture
def named(settings: Settings) -> Settings:
    """An operator that has said who it is, what it does, and who hosts it."""
    for name, value in NAMED.items():
        setattr(settings, name, value)
    settings.OPERATOR_STATEMENTS_BY = "Direktør Karen Post"
    settings.OPERATOR_STATEMENTS_ON = "2026-11-01"
    with build.as_owner():
        recipients.enter(build.supplier(), changed=["name"], by=None)
    return settings


def test_settings_invent_what_the_check_knows() -> None:
    assert {name: getattr(configured, name) for name in INVENTED} == INVENTED


def test_an_operator_that_said_who_it_is_hears_nothing(named: Settings) -> None:
    assert ids() == []


@pytest.mark.parametrize("name", INVENTED)
def test_each_invented_value_is_refused_by_name(name: str, named: Settings) -> None:
    setattr(named, name, INVENTED[name])
    (message,) = found()
    assert (message.id, message.is_serious()) == ("dpa.E001", True)
    assert str(message.msg).startswith(name)


def test_development_stack_may_invent_its_operator() -> None:
    assert ids(deploy=False) == []


def test_operator_outside_the_area_is_refused(named: Settings) -> None:
    named.OPERATOR_COUNTRY = "US"
    assert ids() == ["dpa.E002"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUBPROCESSOR_OBJECTION_DAYS", 0),
        ("BACKUP_DAYS", -1),
        ("ASSISTANCE_HOURLY_RATE", -650),
        ("VAT_PERCENT", 101),
    ],
)
def test_figure_that_no_agreement_can_mean_is_refused_in_development_too(
    settings: Settings, name: str, value: int
) -> None:
    setattr(settings, name, value)
    (message,) = found(deploy=False)
    assert (message.id, message.is_serious()) == ("dpa.E004", True)
    assert str(message.msg).startswith(f"{name} is {value}")


def test_way_of_countersigning_that_is_none_is_refused(settings: Settings) -> None:
    settings.AGREEMENT_COUNTERSIGNING = "Automatic"
    assert ids(deploy=False) == ["dpa.E005"]


@pytest.mark.parametrize(("written", "starts"), [("2026-11-01", True), ("1/11 2026", False)])
def test_service_does_not_start_with_a_day_that_is_none(written: str, starts: bool) -> None:
    """It would be frozen in the facts of agreements, and break every page that reads one."""
    command = [sys.executable, "-c", "import config.settings"]
    given = {**os.environ, "OPERATOR_STATEMENTS_ON": written}
    done = subprocess.run(command, cwd=configured.BASE_DIR, env=given, capture_output=True)
    assert (done.returncode == 0) == starts, done.stderr


def test_empty_register_and_missing_statements_are_warned_of(named: Settings) -> None:
    with build.as_owner():
        Recipient.objects.all().delete()
    named.OPERATOR_STATEMENTS_ON = ""
    assert ids() == ["dpa.W001", "dpa.W002"]
    assert not any(message.is_serious() for message in found())


def test_what_the_text_has_no_words_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without --deploy: nothing could be issued."""
    assert ids(deploy=False) == []
    monkeypatch.setattr("dpa.processing.keys", lambda: iter(["data.relay.message", "data.shoe"]))
    (message,) = found(deploy=False)
    assert (message.id, message.is_serious()) == ("dpa.E003", True)
    assert "data.shoe" in str(message.msg)
