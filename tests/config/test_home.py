# SPDX-License-Identifier: AGPL-3.0-or-later
"""The front page of somebody who is signed in."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from accounts import clock
from accounts.models import Organisation, Role, User
from relay.models import Count, Credential, Delivery, QueuedDelivery, Route, SendingDomain
from tests import build
from tests.relay import pages
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db

HOME = "/en/"


def figures(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"<dd>(\d+)</dd>", text)]


def equip(organisation: Organisation) -> None:
    """Everything that mail needs, but for the mail."""
    of = {"organisation": organisation, "created_at": build.NOW}
    with build.as_owner():
        SendingDomain.objects.create(**of, name="due.example", token="x", state="verified")
        Route.objects.create(**of, name="Exchange", host="mail.due.example")
        Credential.objects.create(**of, name="Web shop", username="u", secret_hash=b"x")


def done(text: str) -> list[bool]:
    steps = text[text.index('class="checklist"') : text.index("</ol>")].split("<li")[1:]
    return ["done</span>" in step for step in steps]


def test_first_steps_tick_themselves(anna: User, organisation: Organisation) -> None:
    page = pages.signed_in(anna)
    with build.as_owner():
        Organisation.objects.update(sending_allowed=False)
    assert done(page.get(HOME).text) == [False] * 5
    with build.as_owner():
        Organisation.objects.update(sending_allowed=True)
    assert done(page.get(HOME).text) == [True, False, False, False, False]
    with build.as_owner():
        Credential.objects.create(
            organisation=organisation, name="Try", username="t", secret_hash=b"x", mode="sandbox",
            created_at=build.NOW,
        )  # fmt: skip
    assert done(page.get(HOME).text) == [True, False, False, False, False]
    equip(organisation)
    assert done(page.get(HOME).text) == [True] * 4 + [False]
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        Delivery.objects.update(state="delivered")
    assert "checklist" not in page.get(HOME).text


def counted(organisation: Organisation, hours_ago: int, **figures: int) -> None:
    at = clock.now() - timedelta(hours=hours_ago)
    with build.as_owner():
        Count.objects.create(
            organisation=organisation,
            span=Count.Span.FIVE_MINUTES,
            starts_at=at.replace(minute=5, second=0, microsecond=0),
            domain="due.example",
            part=hours_ago,
            **figures,
        )


def test_figures_are_of_a_day_and_a_week(anna: User, organisation: Organisation) -> None:
    counted(organisation, 3, delivered=1, bounced_hard=1, blocked=1, expired=1, deferred=7)
    counted(organisation, 40, delivered=2, bounced_soft=4)
    counted(organisation, 24 * 9, delivered=50)
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        Count.objects.create(
            organisation=organisation, span=5, starts_at=clock.now(), domain="", part=0, delivered=9
        )
    text = pages.signed_in(anna).get(HOME).text
    assert figures(text) == [1, 1, 3]
    assert "3 in 7 days" in text
    assert "7 in 7 days" in text


def test_what_waits_is_counted_so_far_and_no_further(
    anna: User, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.panels.COUNTED_MOST", 1)
    page = pages.signed_in(anna)
    for more in (False, True):
        message(organisation, "erik@modtager.example")
        text = page.get(HOME).text
        assert figures(text) == [0, 1, 0]
        assert ("and more" in text) is more


def test_waiting_mail_and_paused_route_say_why(anna: User, organisation: Organisation) -> None:
    page = pages.signed_in(anna)
    assert "Nothing that was accepted is still on its way" in page.get(HOME).text
    equip(organisation)
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        Route.objects.update(paused_at=build.NOW, pause_reason="sign_in_refused")
        QueuedDelivery.objects.update(reason=QueuedDelivery.Reason.SIGN_IN_REFUSED)
    text = page.get(HOME).text
    assert "The mail server refused user name or password" in text
    assert "Correct the user name or secret" in text
    assert "erik" not in text


def test_carl_sees_nothing_of_it(organisation: Organisation, carl: User) -> None:
    equip(organisation)
    message(organisation, "erik@modtager.example")
    text = pages.signed_in(carl).get(HOME).text
    assert figures(text) == [0, 0, 0]
    assert "Exchange" not in text


def test_privacy_role_sees_figures_alone(organisation: Organisation) -> None:
    equip(organisation)
    text = pages.member(organisation, Role.PRIVACY).get(HOME).text
    assert "The last 24 hours" in text
    for words in ("checklist", "Exchange", "/en/credentials/", "/en/log/"):
        assert words not in text


def test_front_page_takes_the_same_queries_however_much_there_is(
    anna: User, organisation: Organisation, django_assert_num_queries
) -> None:
    page: Client = pages.signed_in(anna)
    equip(organisation)
    for count in (1, 30):
        for number in range(count):
            message(organisation, "erik@modtager.example", ago=number)
        with django_assert_num_queries(24):
            page.get(HOME)
