# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import HASH_SESSION_KEY
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import limits, links, recovery, signin
from accounts.models import AuditEvent, Session, User
from accounts.sessions import stored_key
from accounts.tenancy import person_context
from tests import build
from tests.accounts.conftest import Browser, Clock
from tests.accounts.test_signup import letters, token_in

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"
NEW = "nyt-kodeord-42"


def _asked(email: str = "anna@due.example") -> str:
    recovery.request_reset(email, address=ADDRESS)
    return token_in(letters()[-1])


def _signed_in(browser: Browser, user: User) -> Any:
    request = browser()
    signin.sign_in(request, user)
    request.session.save()
    return request


def test_forgotten_password_is_replaced(anna: User, browser: Browser, clock: Clock) -> None:
    _signed_in(browser, anna)
    token = _asked(" Anna@due.example")
    assert recovery.read_reset(token) == anna
    recovery.reset_password(token, NEW)
    assert signin.authenticate("anna@due.example", NEW, address=ADDRESS) == anna
    assert not Session.objects.exists()
    assert [letter["kind"] for letter in letters()] == ["password_reset", "password_changed"]
    with build.as_owner():
        assert AuditEvent.objects.order_by("-sequence")[0].action == "password.reset"


def test_link_is_good_once_and_for_an_hour(anna: User, clock: Clock) -> None:
    token, other = _asked(), _asked()
    clock.forward(hours=1)
    with pytest.raises(links.LinkExpired):
        recovery.read_reset(token)
    clock.forward(seconds=-1)
    recovery.reset_password(token, NEW)
    for used in (token, other):
        with pytest.raises(links.LinkExpired):
            recovery.reset_password(used, "endnu-et-kodeord-43")


def test_unknown_and_closed_get_no_mail_for_the_same_work(anna: User) -> None:
    build.person("Lukket", "Konto", is_active=False)
    seen = {}
    for email in ["anna@due.example", "ingen@due.example", "lukket@konto.example"]:
        with CaptureQueriesContext(connection) as queries:
            recovery.request_reset(email, address=ADDRESS)
        seen[email] = [query["sql"].split("'")[0].split('"s1')[0] for query in queries]
    known, unknown = seen["anna@due.example"], seen["ingen@due.example"]
    assert unknown == seen["lukket@konto.example"]
    # The mail is written and taken back.
    assert [statement for statement in unknown if "ROLLBACK TO" not in statement] == known
    assert len(unknown) == len(known) + 1
    assert [letter["to"] for letter in letters()] == ["anna@due.example"]


def test_requests_are_limited(anna: User, clock: Clock) -> None:
    for number in range(5):
        recovery.request_reset("anna@due.example", address=f"192.0.2.{number}")
    with pytest.raises(limits.TooMany):
        recovery.request_reset("anna@due.example", address="192.0.2.9")


def test_change_keeps_this_browser_only(anna: User, browser: Browser, clock: Clock) -> None:
    here, _ = _signed_in(browser, anna), _signed_in(browser, anna)
    with person_context(anna.id):
        with pytest.raises(signin.SignInRefused):
            recovery.change_password(here, "forkert", NEW)
        with pytest.raises(recovery.SamePassword):
            recovery.change_password(here, build.PASSWORD, build.PASSWORD)
        recovery.change_password(here, build.PASSWORD, NEW)
    here.session.save()
    (left,) = Session.objects.all()
    assert left.session_key == stored_key(here.session.session_key)
    assert here.session[HASH_SESSION_KEY] == here.user.get_session_auth_hash()
    assert signin.authenticate("anna@due.example", NEW, address=ADDRESS) == anna
    assert letters()[-1]["kind"] == "password_changed"


def test_first_password_replaces_the_code_without_a_mail(browser: Browser, clock: Clock) -> None:
    nina = build.person("Nina", "Ny", must_change_password=True)
    with person_context(nina.id):
        recovery.change_password(browser(nina), build.PASSWORD, NEW)
        nina.refresh_from_db()
    assert not nina.must_change_password
    assert letters() == []


def test_reset_stands_in_for_a_lost_code(clock: Clock) -> None:
    nina = build.person("Nina", "Ny", must_change_password=True, confirmed_at=None)
    recovery.reset_password(_asked("nina@ny.example"), NEW)
    user = signin.authenticate("nina@ny.example", NEW, address=ADDRESS)
    assert user == nina
    assert not user.must_change_password
