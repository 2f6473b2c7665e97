# SPDX-License-Identifier: AGPL-3.0-or-later
"""The person's own way through an erasure, in the portal and by the links of its mails."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection
from django.test import Client

from accounts import team
from accounts.models import AuditEvent, Organisation, Role, Session, User
from accounts.refusals import Refused
from accounts.tenancy import person_context
from gdpr.erasing import letters, run
from gdpr.models import Erasure, RequestedRight
from gdpr.rights import erasure
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, prove, visit
from tests.gdpr.erasing.reading import sent

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.now = datetime.now(UTC)
    monkeypatch.setattr("accounts.clock.now", clock)
    return clock


@pytest.fixture
def browser(bo: User, organisation: Organisation) -> Client:
    """Bo's, who has just proved that it is him."""
    client = visit(bo, organisation)
    prove(client)
    return client


def _link(page: str) -> str:
    """The address in the newest mail that leads to this page."""
    (line,) = [
        word for letter in sent()[-1:] for word in letter["text"].split() if f"/{page}/" in word
    ]
    return line.removeprefix(configured.SITE_URL)


def _fresh_row(user: User) -> User:
    with build.as_owner():
        return User.objects.get(pk=user.pk)


def _erasure() -> Erasure:
    with build.as_owner():
        return Erasure.objects.get()


def _carry_out(now: datetime) -> None:
    with build.as_role("duty"):
        for erasure_id in run.due(now):
            assert run.carry_out(erasure_id, now)


def test_page_says_what_goes_and_what_stays_before_anything_is_asked(browser: Client) -> None:
    text = browser.get(at("gdpr:erasure")).text
    assert "Account of a person" in text
    assert "Audit trail: who did what" in text
    assert "legal claims: GDPR article 17(3)(e) (Danish Limitation Act, section 3" in text
    assert "after it was replaced or ended" in text
    assert at("gdpr:erasure-ask") in text
    assert Erasure.objects.count() == 0


def test_asking_needs_a_fresh_step_up(bo: User, organisation: Organisation) -> None:
    answer = visit(bo, organisation).get(at("gdpr:erasure-ask"))
    assert leads_to(answer, "accounts:step-up")


def test_asking_restricts_the_account_and_ends_other_sessions(browser: Client, bo: User) -> None:
    build.session(bo)
    assert leads_to(browser.post(at("gdpr:erasure-ask")), "gdpr:erasure")
    assert _fresh_row(bo).restricted_at is not None
    with build.as_owner():
        assert Session.objects.filter(user_id=bo.pk).count() == 1
        acts = set(AuditEvent.objects.filter(organisation=None).values_list("action", flat=True))
    assert {"request.opened", "erasure.requested"} <= acts
    (letter,) = sent()
    assert letter["to"] == bo.email


@pytest.mark.parametrize("page", ["home", "relay:log", "accounts:profile", "accounts:team"])
def test_restricted_person_reaches_their_erasure_and_nothing_else(
    browser: Client, page: str
) -> None:
    browser.post(at("gdpr:erasure-ask"))
    assert leads_to(browser.get(at(page)), "gdpr:erasure")


@pytest.mark.parametrize(
    "page",
    ["gdpr:privacy", "gdpr:retention", "gdpr:recipients", "gdpr:enquiry", "accounts:consents"],
)
def test_restricted_person_reads_of_their_rights_and_uses_them(browser: Client, page: str) -> None:
    browser.post(at("gdpr:erasure-ask"))
    assert browser.get(at(page)).status_code == 200


def test_restricted_person_may_sign_out(browser: Client) -> None:
    browser.post(at("gdpr:erasure-ask"))
    assert browser.get(at("accounts:sign-out")).status_code == 200


def test_plan_is_shown_when_the_worker_has_counted(browser: Client, clock: Clock) -> None:
    prove(browser)
    browser.post(at("gdpr:erasure-ask"))
    assert "being counted" in browser.get(at("gdpr:erasure")).text
    with build.as_role("duty"):
        assert run.draw_up_plans(clock.now) == 1
    text = browser.get(at("gdpr:erasure")).text
    assert "Account of a person" in text
    until = clock.now.date() + timedelta(days=configured.BACKUP_DAYS)
    assert f"{until:%Y}" in text.partition("last backup")[2]
    assert at("gdpr:erasure-cancel") in text


def test_cancelled_account_is_as_it_was(browser: Client, bo: User) -> None:
    browser.post(at("gdpr:erasure-ask"))
    assert leads_to(browser.post(at("gdpr:erasure-cancel")), "gdpr:erasure")
    assert _fresh_row(bo).restricted_at is None
    assert browser.get(at("home")).status_code == 200
    made = _erasure()
    assert made.state == Erasure.State.CANCELLED
    with build.as_owner():
        assert RequestedRight.objects.get().state == RequestedRight.State.WITHDRAWN
    again = browser.post(at("gdpr:erasure-cancel"), follow=True)
    assert "can no longer be cancelled" in again.text


def test_who_cancelled_may_ask_again(browser: Client) -> None:
    for _ in range(2):
        browser.post(at("gdpr:erasure-ask"))
        browser.post(at("gdpr:erasure-cancel"))
    with build.as_owner():
        assert Erasure.objects.count() == 2


def test_asking_twice_makes_one(browser: Client) -> None:
    browser.post(at("gdpr:erasure-ask"))
    browser.post(at("gdpr:erasure-ask"))
    with build.as_owner():
        assert Erasure.objects.count() == 1


def test_link_of_the_mail_cancels_without_signing_in(browser: Client, bo: User) -> None:
    browser.post(at("gdpr:erasure-ask"))
    link, stranger = _link("cancel"), Client()
    assert stranger.get(link).status_code == 200
    assert _fresh_row(bo).restricted_at is not None
    old = _fresh_row(bo).password
    answer = stranger.post(link)
    assert "/password/forgotten/" in answer.headers["Location"]
    assert _fresh_row(bo).restricted_at is None
    assert stranger.post(link).status_code == 404
    # Whoever asked in his name has neither a session nor a password that opens anything.
    assert _fresh_row(bo).password != old
    with build.as_owner():
        assert not Session.objects.filter(user_id=bo.pk).exists()


def test_cancelling_ends_other_sessions(browser: Client, bo: User) -> None:
    browser.post(at("gdpr:erasure-ask"))
    build.session(bo)
    browser.post(at("gdpr:erasure-cancel"))
    with build.as_owner():
        assert Session.objects.filter(user_id=bo.pk).count() == 1
    assert browser.get(at("home")).status_code == 200


def test_link_cancels_no_other_erasure_than_its_own(browser: Client, bo: User) -> None:
    browser.post(at("gdpr:erasure-ask"))
    link = _link("cancel")
    browser.post(at("gdpr:erasure-cancel"))
    browser.post(at("gdpr:erasure-ask"))
    assert Client().post(link).status_code == 404
    assert _fresh_row(bo).restricted_at is not None


def test_link_of_the_mail_opens_as_long_as_the_erasure_can_be_cancelled(
    browser: Client, clock: Clock
) -> None:
    prove(browser)
    browser.post(at("gdpr:erasure-ask"))
    link = _link("cancel")
    clock.forward(days=60)
    assert Client().get(link).status_code == 200
    _carry_out(clock.now)
    assert Client().get(link).status_code == 404


def test_who_has_become_the_only_owner_reads_what_stands_in_the_way(
    browser: Client, anna: User, bo: User, organisation: Organisation, clock: Clock
) -> None:
    prove(browser)
    with build.as_owner():
        bo.memberships.update(role=Role.OWNER)
    browser.post(at("gdpr:erasure-ask"))
    assert "you are the only owner" not in browser.get(at("gdpr:erasure")).text
    clock.forward(hours=erasure.COOL_DOWN_HOURS)
    with build.as_owner():
        anna.memberships.update(role=Role.ADMIN)
    with build.as_role("duty"):
        assert not run.carry_out(_erasure().pk, clock.now)
    browser = visit(bo, organisation)
    text = browser.get(at("gdpr:erasure")).text
    assert "you are the only owner here" in text
    assert organisation.name in text.partition("you are the only owner here")[2]
    assert "It is erased" not in text
    with build.as_owner():
        anna.memberships.update(role=Role.OWNER)
    assert "you are the only owner" not in browser.get(at("gdpr:erasure")).text


def test_only_owner_must_hand_over_or_close_first(anna: User, organisation: Organisation) -> None:
    client = visit(anna, organisation)
    prove(client)
    assert at("accounts:organisation-close") in client.get(at("gdpr:erasure")).text
    answer = client.post(at("gdpr:erasure-ask"), follow=True)
    assert "the only owner of an organisation" in answer.text
    assert _fresh_row(anna).restricted_at is None
    with build.as_owner():
        assert not RequestedRight.objects.exists()


def test_of_two_owners_only_one_is_let_go(anna: User, bo: User, organisation: Organisation) -> None:
    with build.as_owner():
        bo.memberships.update(role=Role.OWNER)
    for person, answer in [(anna, "Received"), (bo, "the only owner")]:
        client = visit(person, organisation)
        prove(client)
        assert answer in client.post(at("gdpr:erasure-ask"), follow=True).text


@pytest.mark.django_db(transaction=True)
def test_owner_cannot_leave_while_the_only_other_one_asks(
    anna: User, bo: User, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with build.as_owner():
        bo.memberships.update(role=Role.OWNER)
        leaving = bo.memberships.get()
    asking, left, real = Event(), Event(), letters.erasure_asked

    def slowly(*arguments: Any) -> None:
        asking.set()
        # Whoever is kept waiting does not leave before this transaction has ended.
        left.wait(timeout=2)
        real(*arguments)

    def ask() -> bool:
        with person_context(anna.pk):
            erasure.ask(anna, build.NOW, session_key=None)
        return True

    def leave() -> bool:
        asking.wait()
        team.remove(leaving, by=leaving)
        left.set()
        return True

    monkeypatch.setattr(letters, "erasure_asked", slowly)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(_as_web, [ask, leave])) == [True, False]


def _as_web(act: Callable[[], bool]) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE web")
        return act()
    except Refused:
        return False
    finally:
        connection.close()


def test_closed_organisation_needs_no_owner(anna: User, organisation: Organisation) -> None:
    client = visit(anna, organisation)
    prove(client)
    client.post(at("accounts:organisation-close"))
    with build.as_owner():
        organisation.refresh_from_db()
    assert organisation.standing == Organisation.Standing.CLOSING
    client.post(at("gdpr:erasure-ask"))
    assert _fresh_row(anna).restricted_at is not None


def test_certificate_is_fetched_by_the_link_of_the_last_mail(
    browser: Client, bo: User, clock: Clock
) -> None:
    prove(browser)
    browser.post(at("gdpr:erasure-ask"))
    clock.forward(hours=erasure.COOL_DOWN_HOURS)
    _carry_out(clock.now)
    with build.as_owner():
        assert not User.objects.filter(pk=bo.pk).exists()
    page = _link("certificate")
    answer = Client().get(page)
    assert answer.status_code == 200
    pdf = Client().get(f"{page}pdf/")
    assert pdf.headers["Content-Type"] == "application/pdf"
    assert pdf.content.startswith(b"%PDF-")
    assert bo.last_name not in answer.text
    clock.forward(days=90)
    assert Client().get(page).status_code == 404
    assert Client().get(f"{page}pdf/").status_code == 404


def test_made_up_certificate_link_opens_nothing() -> None:
    for name in ("gdpr:certificate", "gdpr:certificate-pdf", "gdpr:completion-pdf"):
        assert Client().get(at(name, "no-such-token")).status_code == 404
