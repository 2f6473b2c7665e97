# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing in and out through the pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts import signin
from accounts.models import Organisation, Session, User
from accounts.sessions import stored_key
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_twofactor import value
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

REFUSED = "E-mail address or password is wrong."


def sign_in(client: Client, email: str, password: str = build.PASSWORD, **more: str) -> Any:
    return client.post(at("accounts:sign-in"), {"email": email, "password": password, **more})


def test_password_opens_the_front_page(organisation: Organisation, anna: User, client: Client):
    response = sign_in(client, " Anna@Due.example ")
    assert response.headers["Location"] == "/"
    assert "Duehuset ApS" in client.get(at("home")).text


def test_front_page_after_sign_in_is_in_the_persons_language(client: Client):
    build.person("Eve", "Engelsk", language="en")
    response = client.post(
        "/sign-in/", {"email": "eve@engelsk.example", "password": build.PASSWORD}
    )
    assert response.headers["Location"] == "/en/"


def test_every_refusal_has_one_answer(anna: User, client: Client):
    build.person("Una", "Ubekraeftet", confirmed_at=None)
    build.person("Lis", "Lukket", is_active=False)
    answers = [
        sign_in(client, "anna@due.example", "forkert-kode-12"),
        sign_in(client, "nobody@nowhere.example"),
        sign_in(client, "una@ubekraeftet.example"),
        sign_in(client, "lis@lukket.example"),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert all(REFUSED in answer.text for answer in answers)
    assert "sessionid" not in client.cookies


def test_too_many_tries_are_429_and_the_right_password_waits_too(anna: User, client: Client):
    for _ in range(10):
        assert sign_in(client, "anna@due.example", "forkert-kode-12").status_code == 200
    response = sign_in(client, "anna@due.example")
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 300
    assert "Too many tries" in response.text


@pytest.mark.parametrize(
    ("asked", "landing"),
    [("/en/team/", "/en/team/"), ("https://evil.example/", "/"), ("//evil.example", "/")],
)
def test_destination_is_kept_when_it_is_ours(asked: str, landing: str, organisation, client):
    page = client.get(at("accounts:sign-in"), {"next": asked})
    assert 'name="next"' in page.text
    response = sign_in(client, "anna@due.example", next=asked)
    assert response.headers["Location"] == landing


def test_person_who_is_signed_in_has_no_sign_in_page(organisation: Organisation, anna: User):
    assert visit(anna).get(at("accounts:sign-in")).status_code == 302


def test_session_gets_a_new_key_at_sign_in(organisation: Organisation, anna: User, client: Client):
    client.cookies["sessionid"] = "planted"
    sign_in(client, "anna@due.example")
    assert client.cookies["sessionid"].value != "planted"


def test_second_factor_stands_between_password_and_pages(
    organisation: Organisation, anna: User, client: Client, clock: Clock
):
    secret = build.second_factor(anna)
    sign_in(client, "anna@due.example")
    for page in ("home", "accounts:security", "accounts:password-change", "accounts:team"):
        assert leads_to(client.get(at(page)), "accounts:second-factor"), page
    prompt = at("accounts:second-factor")
    assert "One more thing" in client.get(prompt).text
    wrong = client.post(prompt, {"token": "000000"})
    assert (wrong.status_code, "The code is wrong" in wrong.text) == (200, True)
    assert leads_to(client.post(prompt, {"token": value(secret, clock)}), "accounts:team")
    assert client.get(at("accounts:team")).status_code == 200


def test_second_factor_tries_are_limited(
    organisation: Organisation, anna: User, client: Client, clock: Clock
):
    secret = build.second_factor(anna)
    sign_in(client, "anna@due.example")
    prompt = at("accounts:second-factor")
    for _ in range(5):
        client.post(prompt, {"token": "000000"})
    assert client.post(prompt, {"token": value(secret, clock)}).status_code == 429
    assert leads_to(client.get(at("home")), "accounts:second-factor")


def test_second_factor_page_is_passed_by_who_has_none(organisation: Organisation, anna: User):
    assert visit(anna).get(at("accounts:second-factor")).status_code == 302


def test_signing_out_takes_a_button(organisation: Organisation, anna: User):
    client = visit(anna)
    key = client.cookies["sessionid"].value
    assert "Sign out?" in client.get(at("accounts:sign-out")).text
    assert Session.objects.filter(session_key=stored_key(key)).exists()
    assert leads_to(client.post(at("accounts:sign-out")), "home")
    assert not Session.objects.filter(session_key=stored_key(key)).exists()
    assert leads_to(client.get(at("accounts:sign-out")), "home")


def test_session_ended_elsewhere_is_nobodys(organisation: Organisation, anna: User):
    client = visit(anna)
    signin.end_sessions(anna.id)
    assert leads_to(client.get(at("accounts:team")), "accounts:sign-in")


def test_session_from_before_a_password_change_is_nobodys(organisation: Organisation, anna: User):
    client = visit(anna)
    with build.as_owner():
        anna.set_password("noget-helt-andet-42")
        anna.save()
    assert leads_to(client.get(at("accounts:team")), "accounts:sign-in")


def test_session_of_a_closed_account_is_nobodys(organisation: Organisation, anna: User):
    client = visit(anna)
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(is_active=False)
    assert leads_to(client.get(at("accounts:team")), "accounts:sign-in")


def test_form_without_its_token_is_refused(anna: User):
    client = Client(enforce_csrf_checks=True)
    response = sign_in(client, "anna@due.example")
    assert response.status_code == 403
    assert "The form was not sent" in response.text
