# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an organisation chose is what its log holds, from the next mail on and not for longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts import clock
from accounts.models import AuditEvent, Organisation, Role, User
from accounts.tenancy import organisation_context
from relay import logchoices, promises
from relay.logchoices import Choice
from relay.models import LogChoice, Message, MessageHeader
from relay.models.messages import LOG_DAYS
from relay.smtp.controls import PROFILES
from tests import build
from tests.relay import pages
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db

SETTINGS = "/en/log/settings/"


@pytest.fixture
def page(anna: User, organisation: Organisation) -> Client:
    return pages.signed_in(anna)


def chosen(organisation: Organisation) -> Choice:
    with organisation_context(organisation.id):
        return logchoices.choice_of(organisation.id)


def save(page: Client, **fields: Any) -> Any:
    return page.post(SETTINGS, {"profile": "minimal", "days": LOG_DAYS} | fields)


def test_least_is_logged_until_somebody_chooses(organisation: Organisation) -> None:
    assert chosen(organisation) == Choice("minimal", LOG_DAYS)
    assert LogChoice.Profile.values == list(PROFILES)


def test_more_is_asked_about_once_more(page: Client, organisation: Organisation) -> None:
    asked = save(page, profile="subject")
    assert "From now on the log also holds subjects" in asked.text
    assert "The next agreement prints this choice" in asked.text
    assert chosen(organisation).profile == "minimal"
    assert save(page, profile="subject", agreed="on").status_code == 302
    assert chosen(organisation).profile == "subject"
    # Less needs no second word.
    assert save(page).status_code == 302
    assert chosen(organisation).profile == "minimal"


def test_fewer_days_are_asked_about_once_more(page: Client, organisation: Organisation) -> None:
    assert "Nobody can bring them back" in save(page, days=7).text
    assert save(page, days=7, agreed="on").status_code == 302
    assert chosen(organisation) == Choice("minimal", 7)
    assert save(page, days=8).status_code == 302
    assert chosen(organisation).days == 8


@pytest.mark.parametrize("days", ["0", "-1", str(LOG_DAYS + 1), "x", ""])
def test_days_are_within_the_period(page: Client, organisation: Organisation, days: str) -> None:
    assert save(page, days=days, agreed="on").status_code == 200
    assert chosen(organisation).days == LOG_DAYS


def test_choice_is_in_the_audit_trail_once(page: Client, organisation: Organisation) -> None:
    for _ in range(2):
        save(page, profile="headers", days=3, agreed="on")
    with build.as_owner():
        events = AuditEvent.objects.filter(action="organisation.log-changed")
        assert [event.fields for event in events] == [["profile", "days"]]


def test_log_says_what_was_chosen(page: Client, organisation: Organisation) -> None:
    assert "never what was written" in page.get("/en/log/").text
    save(page, profile="headers", days=3, agreed="on")
    text = page.get("/en/log/").text
    assert "You have chosen to keep whole headers as well" in text
    assert "at most 3 days" in text


def test_another_organisation_is_not_touched(
    page: Client, organisation: Organisation, other_organisation: Organisation
) -> None:
    save(page, profile="headers", agreed="on")
    assert chosen(other_organisation) == Choice()


def test_subject_name_and_header_are_for_those_who_see_addresses(
    organisation: Organisation, bo: User
) -> None:
    made = message(organisation, "erik@modtager.example")
    with build.as_owner():
        Message.objects.filter(id=made.id).update(profile="headers", subject="Hilsen fra Erik")
        of = {"organisation": organisation, "accepted_at": made.accepted_at}
        MessageHeader.objects.create(**of, message_id=made.id, header="X-Sted: <b>Aarhus</b>\n")
    texts = [
        browser.get(f"/en/log/{made.id}/").text
        for browser in (pages.signed_in(bo), pages.member(organisation, Role.VIEWER))
    ]
    for words in ("Hilsen fra Erik", "X-Sted: &lt;b&gt;Aarhus&lt;/b&gt;"):
        assert [words in text for text in texts] == [True, False]
    assert "Hilsen" in pages.signed_in(bo).get("/en/log/").text


@pytest.fixture
def kept(organisation: Organisation) -> Message:
    """A mail of which only the least is logged."""
    return message(organisation, "erik@modtager.example")


def holds() -> bool:
    with build.as_role("duty"):
        return promises.the_log_has_no_content().holds


@pytest.mark.parametrize(
    ("profile", "subject", "kept_anyway"),
    [("minimal", "", True), ("minimal", "Hej", False), ("subject", "Hej", False)],
)
def test_promise_breaks_where_more_is_kept_than_chosen(
    kept: Message, profile: str, subject: str, kept_anyway: bool
) -> None:
    with build.as_owner():
        Message.objects.filter(id=kept.id).update(profile=profile, subject=subject)
    assert holds() is kept_anyway


def test_promise_holds_for_what_was_chosen(kept: Message, organisation: Organisation) -> None:
    with build.as_owner():
        Message.objects.filter(id=kept.id).update(profile="subject", subject="Hej")
        _choose(organisation, "subject", clock.now())
    assert holds()


def test_promise_breaks_where_a_header_is_kept_unchosen(kept: Message) -> None:
    with build.as_owner():
        of = {"organisation_id": kept.organisation_id, "accepted_at": kept.accepted_at}
        MessageHeader.objects.create(**of, message_id=kept.id, header="Subject: Hej\n")
    assert not holds()


def _choose(organisation: Organisation, profile: str, at: datetime) -> None:
    values = {"profile": profile, "days": LOG_DAYS, "changed_at": at - timedelta(hours=1)}
    LogChoice.objects.create(organisation=organisation, **values)
