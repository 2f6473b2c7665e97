# SPDX-License-Identifier: AGPL-3.0-or-later
"""Changing a password and choosing a new one, through the pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Organisation, Session, User
from tests import build
from tests.accounts.test_signup import letters, token_in
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

NEW = "fin-og-lang-77"


def change(client: Client, old: str = build.PASSWORD, new: str = NEW, repeated: str = NEW) -> Any:
    values = {"old_password": old, "new_password": new, "repeated": repeated}
    return client.post(at("accounts:password-change"), values)


class TestChange:
    def test_ends_the_other_browsers(self, organisation: Organisation, anna: User):
        here, elsewhere = visit(anna), visit(anna)
        assert leads_to(change(here), "accounts:security")
        assert "Your password is changed" in here.get(at("accounts:security")).text
        assert leads_to(elsewhere.get(at("accounts:security")), "accounts:sign-in")
        assert letters()[-1]["kind"] == "password_changed"

    @pytest.mark.parametrize(
        ("old", "new", "repeated", "why"),
        [
            ("forkert-kode-12", NEW, NEW, "password is wrong"),
            (build.PASSWORD, NEW, NEW + "x", "The two are not the same"),
            (build.PASSWORD, "kort12", "kort12", "Use at least 12 characters"),
            (build.PASSWORD, "ingen-tal-overhovedet", "ingen-tal-overhovedet", "digits"),
            (build.PASSWORD, build.PASSWORD, build.PASSWORD, "differs from the one you have"),
        ],
    )
    def test_refusal_says_why(
        self, old: str, new: str, repeated: str, why: str, organisation: Organisation, anna: User
    ):
        page = change(visit(anna), old, new, repeated)
        assert page.status_code == 200
        assert why in page.text
        assert NEW not in page.text

    def test_tries_are_limited(self, organisation: Organisation, anna: User):
        client = visit(anna)
        for _ in range(10):
            change(client, "forkert-kode-12")
        assert change(client).status_code == 429


class TestForgotten:
    def test_answers_alike_for_known_and_unknown_addresses(self, anna: User, client: Client):
        ask = at("accounts:password-reset")
        known = client.post(ask, {"email": "anna@due.example"})
        unknown = client.post(ask, {"email": "nobody@nowhere.example"})
        assert leads_to(known, "accounts:password-reset-sent")
        assert (known.content, known.headers["Location"]) == (
            unknown.content,
            unknown.headers["Location"],
        )
        assert [letter["to"] for letter in letters()] == ["anna@due.example"]

    def test_asking_is_limited(self, anna: User, client: Client):
        ask = at("accounts:password-reset")
        for _ in range(5):
            client.post(ask, {"email": "anna@due.example"})
        assert client.post(ask, {"email": "anna@due.example"}).status_code == 429

    def test_new_password_ends_every_session(self, organisation: Organisation, anna: User):
        client, signed_in = Client(), visit(anna)
        client.post(at("accounts:password-reset"), {"email": "anna@due.example"})
        link = at("accounts:password-reset-confirm", token_in(letters()[0]))
        for _ in range(2):
            assert "Choose a new password" in client.get(link).text
        assert Session.objects.filter(user_id=anna.id).count() == 1
        answer = client.post(link, {"new_password": NEW, "repeated": NEW})
        assert leads_to(answer, "accounts:sign-in")
        assert leads_to(signed_in.get(at("accounts:team")), "accounts:sign-in")
        assert client.get(link).status_code == 404
        client.post(at("accounts:sign-in"), {"email": "anna@due.example", "password": NEW})
        assert client.get(at("accounts:team")).status_code == 200

    def test_weak_password_leaves_the_link_good(self, anna: User, client: Client):
        client.post(at("accounts:password-reset"), {"email": "anna@due.example"})
        link = at("accounts:password-reset-confirm", token_in(letters()[0]))
        assert "Use at least" in client.post(link, {"new_password": "x", "repeated": "x"}).text
        assert client.get(link).status_code == 200
