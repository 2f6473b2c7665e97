# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import SESSION_KEY, logout
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from accounts import limits, signin
from accounts.models import AuditEvent, OutgoingMail, Session, User
from accounts.sessions import stored_key
from accounts.tenancy import person_context
from tests import build
from tests.accounts.conftest import Browser, Clock
from tests.hashers import QuickArgon2

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"


def _authenticate(email: str = "anna@due.example", password: str = build.PASSWORD) -> User:
    return signin.authenticate(email, password, address=ADDRESS)


def test_person_signs_in_by_address_and_password(anna: User) -> None:
    assert _authenticate() == anna
    assert _authenticate(" Anna@DUE.example ") == anna


def test_capitals_beyond_ascii_are_the_same_address(db: None) -> None:
    person = build.person("Erik", "Bøger")
    assert _authenticate("Erik@BØGER.example") == person


@pytest.fixture
def refusals(anna: User) -> dict[str, tuple[str, str]]:
    """Each way to be refused: address and password."""
    build.person("Ulla", "Ubekendt", confirmed_at=None)
    build.person("Lukket", "Konto", is_active=False)
    nobody = build.person("Uden", "Adgang")
    with build.as_owner():
        nobody.set_unusable_password()
        nobody.save()
    return {
        "wrong": ("anna@due.example", "forkert-27"),
        "unknown": ("ingen@due.example", build.PASSWORD),
        "unconfirmed": ("ulla@ubekendt.example", build.PASSWORD),
        "closed": ("lukket@konto.example", build.PASSWORD),
        "no password": ("uden@adgang.example", build.PASSWORD),
        "empty": ("", ""),
    }


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each Argon2 computation of the test; checking and making a hash cost the same."""
    done: list[str] = []

    def counted(name: str) -> None:
        original = getattr(QuickArgon2, name)

        def count(*arguments: Any, **named: Any) -> Any:
            done.append("argon2")
            return original(*arguments, **named)

        monkeypatch.setattr(QuickArgon2, name, count)

    signin._stand_in()
    counted("encode")
    counted("verify")
    return done


def test_refusals_are_one(refusals: dict[str, tuple[str, str]], work: list[str]) -> None:
    """Text, queries and Argon2 work are the same, whatever the reason."""
    seen = {}
    for name, (email, password) in refusals.items():
        work.clear()
        with CaptureQueriesContext(connection) as queries:
            text = _refusal(email, password)
        seen[name] = (text, _shapes(queries), len(work))
    assert len({str(what) for what in seen.values()}) == 1, seen
    assert seen["wrong"][2] == 1
    assert len(seen["wrong"][1]) > 3


def _refusal(email: str, password: str) -> str:
    with pytest.raises(signin.SignInRefused) as refusal:
        _authenticate(email, password)
    return str(refusal.value)


def _shapes(queries: Any) -> list[str]:
    """Return the statements without the values in them."""
    return [re.sub(r"'[^']*'(::uuid)?|s\d+_x\d+", "?", query["sql"]) for query in queries]


def test_eleventh_check_of_a_person_is_too_many(anna: User, clock: Clock) -> None:
    for number in range(10):
        with pytest.raises(signin.SignInRefused):
            signin.authenticate("Anna@due.example ", "x", address=f"192.0.2.{number}")
    with pytest.raises(limits.TooMany):
        signin.authenticate("anna@due.example", build.PASSWORD, address="192.0.2.99")
    clock.forward(minutes=5)
    assert _authenticate() == anna


def test_eleventh_check_from_an_address_is_too_many(anna: User, clock: Clock) -> None:
    for number in range(10):
        with pytest.raises(signin.SignInRefused):
            _authenticate(f"ingen{number}@due.example")
    with pytest.raises(limits.TooMany):
        _authenticate()


def test_session_changes_and_knows_its_person(anna: User, browser: Browser) -> None:
    request = browser()
    before = request.session.session_key
    signin.sign_in(request, anna)
    request.session.save()
    assert request.session.session_key != before
    assert not Session.objects.filter(session_key=stored_key(before)).exists()
    assert Session.objects.get().user_id == anna.id
    assert request.session[SESSION_KEY] == str(anna.id)
    with build.as_owner():
        event = AuditEvent.objects.get()
        assert (event.action, event.organisation_id) == ("person.signed-in", None)
        anna.refresh_from_db()
        assert anna.last_login is not None


def _mails() -> list[str]:
    with build.as_owner():
        return list(OutgoingMail.objects.values_list("kind", flat=True))


def test_new_browser_is_told_by_mail(anna: User, browser: Browser) -> None:
    signin.sign_in(browser(), anna)
    assert _mails() == []
    request = browser()
    signin.sign_in(request, anna)
    assert _mails() == ["new_browser"]
    response = HttpResponse()
    signin.remember_browser(request, response)
    cookie = response.cookies["browser"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert str(anna.id) not in cookie.value
    signin.sign_in(browser(None, browser=cookie.value), anna)
    assert _mails() == ["new_browser"]
    signin.sign_in(browser(None, browser=cookie.value + "x"), anna)
    assert _mails() == ["new_browser"] * 2


def test_browser_is_remembered_for_each_person(anna: User, dorte: User, browser: Browser) -> None:
    first, second = HttpResponse(), HttpResponse()
    signin.remember_browser(browser(anna), first)
    request = browser(dorte, browser=first.cookies["browser"].value)
    signin.remember_browser(request, second)
    both = browser(None, browser=second.cookies["browser"].value)
    assert signin._is_known_browser(both, anna)
    assert signin._is_known_browser(both, dorte)


def test_sessions_of_a_person_end(anna: User, dorte: User, browser: Browser) -> None:
    requests = [browser() for _ in range(4)]
    for request, user in zip(requests, [anna, anna, anna, dorte], strict=True):
        signin.sign_in(request, user)
        request.session.save()
    kept = requests[1].session.session_key
    assert signin.end_sessions(anna.id, keep=kept) == 2
    assert set(Session.objects.values_list("user_id", flat=True)) == {anna.id, dorte.id}
    assert signin.end_sessions(anna.id) == 1


def test_sign_out_ends_the_session(anna: User, browser: Browser) -> None:
    request = browser()
    signin.sign_in(request, anna)
    request.session.save()
    with person_context(anna.id):
        logout(request)
    assert not Session.objects.exists()
