# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from accounts import clock
from accounts.models import AuditEvent, Organisation, Role, User
from relay import log
from relay.models import QueuedDelivery
from tests import build
from tests.relay import pages
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db

WAITING = "/en/waiting/"


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def due() -> int:
    with build.as_owner():
        return QueuedDelivery.objects.filter(due_at__lte=clock.now()).count()


def test_nothing_waiting_says_so(page: Client) -> None:
    assert "Nothing waits" in page.get(WAITING).text


@pytest.mark.parametrize("reason", QueuedDelivery.Reason)
def test_reason_and_times_are_told_in_words(
    page: Client, organisation: Organisation, reason: QueuedDelivery.Reason
) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(reason=reason, possible_duplicate=True, attempts=3)
        row = QueuedDelivery.objects.get()
    text = page.get(WAITING).text
    words = str(reason.label)
    assert words[0].upper() + words[1:] in text
    for moment in (row.due_at, row.expires_at):
        assert moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") in text
    assert "may have arrived already" in text


def test_what_is_in_hand_or_due_says_so(page: Client, organisation: Organisation) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(due_at=clock.now())
    assert ">now<" in page.get(WAITING).text
    with build.as_owner():
        QueuedDelivery.objects.update(lease_expires_at=clock.now() + timedelta(minutes=1))
    assert "being sent" in page.get(WAITING).text


@pytest.mark.behaviour(26)
def test_trying_now_makes_one_message_or_all_due(page: Client, organisation: Organisation) -> None:
    first = message(organisation, "erik@modtager.example")
    message(organisation, "ida@modtager.example")
    response = page.post(f"{WAITING}{first.id}/retry/", follow=True)
    assert "1 delivery is tried now" in response.text
    assert due() == 1
    assert "1 delivery is tried now" in page.post(f"{WAITING}retry/", follow=True).text
    assert due() == 2
    assert "in hand or due already" in page.post(f"{WAITING}retry/", follow=True).text
    with build.as_owner():
        acts = set(AuditEvent.objects.values_list("action", "target_type"))
    assert acts == {("organisation.mail-retried", "accounts.Organisation")}


def test_retries_are_limited(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.limits._wait", lambda *args: 1)
    message(organisation, "erik@modtager.example")
    assert "Too many tries" in page.post(f"{WAITING}retry/", follow=True).text
    assert due() == 0


def test_pages_lead_to_the_newest_and_back(
    page: Client, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log.waiting, "__defaults__", (None, 2))
    made = [message(organisation, f"r{n}@modtager.example", ago=n) for n in range(3)]
    first = page.get(WAITING)
    assert [f"/log/{one.id}/" in first.text for one in made] == [False, True, True]
    second = page.get(first.context["next"])
    assert [f"/log/{one.id}/" in second.text for one in made] == [True, False, False]
    assert (second.context["first"], second.context["next"]) == (WAITING, "")


def test_another_organisations_mail_is_missing(organisation: Organisation, carl: User) -> None:
    made, client = message(organisation, "erik@modtager.example"), pages.signed_in(carl)
    assert "erik" not in client.get(WAITING).text
    for identifier in (made.id, build.message_id()):
        assert client.post(f"{WAITING}{identifier}/retry/").status_code == 404
    client.post(f"{WAITING}retry/")
    assert due() == 0


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(organisation: Organisation, role: Role) -> None:
    made = message(organisation, "erik@modtager.example")
    client = pages.member(organisation, role)
    for path in (f"{WAITING}retry/", f"{WAITING}{made.id}/retry/"):
        assert client.post(path).status_code == 403
    shown = client.get(WAITING)
    assert shown.status_code == (200 if role == Role.VIEWER else 403)
    assert "Try all now" not in shown.text
    assert due() == 0


def test_list_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        for number in range(count):
            message(organisation, f"r{number}@modtager.example", ago=number)
        with django_assert_num_queries(18):
            page.get(WAITING)
