# SPDX-License-Identifier: AGPL-3.0-or-later
"""Privacy notice, periods and recipients: generated, in both languages, without a cookie."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from pytest_django.fixtures import Settings

from accounts import limits, signin, signup
from accounts.models import Organisation, User
from gdpr import inventory, notice, retention
from gdpr.inventory import stores
from gdpr.models import RetentionGauge
from gdpr.registry import Period
from relay import limits as smtp_limits
from relay.models import messages
from tests import build
from tests.gdpr.test_recipients import supplier

pytestmark = pytest.mark.django_db

PAGES = ("privacy", "retention", "recipients")


def page(name: str, language: str = "en") -> str:
    with override(language):
        path = reverse(f"gdpr:{name}")
    answer = Client().get(path)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize("language", ["da", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_reading_sets_no_cookie(name: str, language: str) -> None:
    with override(language):
        path = reverse(f"gdpr:{name}")
    answer = Client().get(path)
    assert answer.status_code == 200
    assert not answer.cookies
    assert "Set-Cookie" not in answer.headers


def told() -> list[str]:
    """The constant of each period that the public is told, as module:name."""
    keeps = [entry.keep for entry in inventory.personal_entries()]
    return sorted({keep.period.constant for keep in keeps if keep and keep.period})


@pytest.mark.parametrize("constant", told())
def test_changing_a_constant_changes_table_and_notice_together(
    constant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ("4321 hours", "4321 days")
    assert not any(words in page(each) for each in ("privacy", "retention") for words in written)
    monkeypatch.setattr(constant.replace(":", "."), 4321)
    for each in ("privacy", "retention"):
        assert any(words in page(each) for words in written)


def test_figure_of_the_log_is_on_the_front_page_and_in_the_purge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "after 30 days" in Client().get("/en/").text
    monkeypatch.setattr(messages, "LOG_DAYS", 29)
    assert "after 29 days" in Client().get("/en/").text
    (step,) = [step for step in retention._groups() if step[0].model == "relay.Message"]
    assert step[0].keep
    assert step[0].keep.period
    assert step[0].keep.period.length == timedelta(days=29)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (60, "1 minute"),
        (300, "5 minutes"),
        (7200, "2 hours"),
        (86400, "1 day"),
        (172800, "2 days"),
    ],
)
def test_seconds_are_told_in_the_largest_whole_unit(
    seconds: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_limits, "SIGN_IN_SECONDS", seconds)
    period = stores.SMTP_COUNTERS.keep
    assert period
    assert isinstance(period.period, Period)
    with override("en"):
        assert str(period.period) == words


def test_periods_of_stores_and_cookies_are_those_in_force(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BACKUP_DAYS = 17
    settings.SESSION_COOKIE_AGE = 5 * 3600
    monkeypatch.setattr(signup, "LINK_LIFETIME", timedelta(days=9))
    monkeypatch.setattr(limits, "DAY", 2 * 86400)
    table = page("retention")
    assert "17 days after it was made" in table
    assert "9 days after the mail was sent" in table
    assert "2 days after the last try" in table
    assert "5 hours after you signed in" in page("privacy")


def test_cookies_that_a_person_gets_are_those_on_the_page(
    anna: User, organisation: Organisation
) -> None:
    client = Client()
    path = reverse("accounts:sign-in")
    client.get(path)
    client.post(path, {"username": anna.email, "password": build.PASSWORD})
    client.post(path, {"email": anna.email, "password": build.PASSWORD})
    assert signin.BROWSER_COOKIE in client.cookies
    assert set(client.cookies) <= {cookie.name for cookie in notice.cookies()}


def test_notice_says_all_that_the_law_asks_for(settings: Settings) -> None:
    """GDPR article 13(1) and (2), letter by letter."""
    settings.OPERATOR_NAME = "Prøvehuset ApS"
    settings.PRIVACY_EMAIL = "hej@proevehuset.example"
    text = page("privacy")
    for words in (
        "Prøvehuset ApS",
        "hej@proevehuset.example",
        "to run the customer&#x27;s account",
        "contract, GDPR article 6(1)(b)",
        "Our legitimate interests",
        "Who gets the data",
        "No data leave the EEA",
        "until the account is erased",
        "article 15",
        "article 16",
        "article 17",
        "article 18",
        "article 20",
        "article 21",
        "article 7(3)",
        settings.AUTHORITY_PHONE,
        "without them there is no account",
        "made by a program alone",
    ):
        assert words in text, words


def test_every_personal_table_is_in_notice_and_table() -> None:
    notice_text, table = page("privacy", "da"), page("retention", "da")
    with override("da"):
        titles = [str(item.title) for item in inventory.personal_entries()]
    assert len(titles) > 20
    for title in titles:
        assert title in notice_text
        assert title in table


def test_recipients_are_listed_with_their_country(settings: Settings) -> None:
    assert "Nobody" in page("recipients")
    settings.EEA_ONLY = False
    supplier("Værtshuset A/S")
    supplier("Overseas Inc", country="US", transfer="clauses", services=["mail"])
    text = page("recipients", "da")
    assert "Værtshuset A/S" in text
    assert "Danmark" in text
    assert "standardkontraktbestemmelser" in text
    assert "Overseas Inc, United States" in page("privacy")


def test_table_says_when_it_was_checked_and_what_was_found() -> None:
    def gauge(over: int) -> None:
        with build.as_owner():
            RetentionGauge.objects.update_or_create(
                what="relay.Message",
                defaults={"measured_at": build.NOW, "over_seconds": over, "due": 0},
            )

    gauge(-1)
    assert "nothing older" in page("retention")
    gauge(1)
    assert "something older" in page("retention")
