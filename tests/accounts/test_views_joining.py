# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing up and taking up invitations through the pages; opening a link changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from accounts.models import Invitation, Membership, Organisation, OutgoingMail, Role, User
from accounts.signup import LINK_LIFETIME
from accounts.team import invite
from accounts.tenancy import organisation_context
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_signup import letters, token_in
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

FORM = {
    "first_name": "Nina",
    "last_name": "Ny",
    "email": "nina@ny.example",
    "name": "Nyhus ApS",
    "country": "DK",
    "vat_number": "13585628",
}
PERSON = {"first_name": "Ida", "last_name": "Inviteret"}


def sign_up(client: Client, **changes: str) -> Any:
    return client.post(at("accounts:sign-up"), FORM | changes)


def code_on(response: Any) -> str:
    found = re.search(r'<code id="code">([^<]+)</code>', response.text)
    assert found
    return found[1]


def counts() -> tuple[int, int, int, int]:
    with build.as_owner():
        tables = (User, Membership, Organisation, OutgoingMail)
        people, members, organisations, mails = (table.objects.count() for table in tables)
    return people, members, organisations, mails


class TestSignUp:
    def test_answers_alike_for_known_and_unknown_addresses(self, anna: User, client: Client):
        unknown, known = sign_up(client), sign_up(client, email="anna@due.example")
        assert leads_to(unknown, "accounts:sign-up-sent")
        assert unknown.headers["Location"] == known.headers["Location"]
        assert unknown.content == known.content
        assert [letter["kind"] for letter in letters()] == ["confirm_address", "address_known"]
        assert "Look in your mail" in client.get(unknown.headers["Location"]).text

    def test_link_opens_nothing_until_the_button(self, client: Client):
        sign_up(client)
        link = at("accounts:sign-up-confirm", token_in(letters()[0]))
        before = counts()
        for _ in range(2):
            assert "Nyhus ApS" in client.get(link).text
            assert client.head(link).status_code == 200
        assert counts() == before
        page = client.post(link)
        assert "never again" in page.text
        assert "no-store" in page.headers["Cache-Control"]
        assert counts()[0] == before[0] + 1

    def test_code_is_for_the_first_sign_in_only(self, client: Client):
        sign_up(client)
        code = code_on(client.post(at("accounts:sign-up-confirm", token_in(letters()[0]))))
        client.post(at("accounts:sign-in"), {"email": "nina@ny.example", "password": code})
        for page in ("home", "accounts:team", "accounts:security", "accounts:profile"):
            assert leads_to(client.get(at(page)), "accounts:password-change"), page
        change = at("accounts:password-change")
        assert "Choose your password" in client.get(change).text
        new = {"old_password": code, "new_password": "fin-og-lang-77", "repeated": "fin-og-lang-77"}
        assert client.post(change, new).status_code == 302
        assert "Nyhus ApS" in client.get(at("home")).text

    def test_link_followed_twice_makes_one_account(self, client: Client):
        sign_up(client)
        link = at("accounts:sign-up-confirm", token_in(letters()[0]))
        client.post(link)
        again = client.post(link)
        assert again.status_code == 404
        assert "has an account already" in again.text
        assert counts()[0] == 1

    def test_expired_link_says_so(self, client: Client, clock: Clock):
        sign_up(client)
        link = at("accounts:sign-up-confirm", token_in(letters()[0]))
        clock.now += LINK_LIFETIME * 2
        page = client.get(link)
        assert (page.status_code, "has expired" in page.text) == (404, True)

    def test_wrong_number_is_explained_and_the_rest_kept(self, client: Client):
        page = sign_up(client, vat_number="12345678")
        assert page.status_code == 200
        assert "not a valid number" in page.text
        assert 'value="Nyhus ApS"' in page.text
        assert not letters()

    def test_too_many_are_429(self, client: Client):
        for _ in range(5):
            sign_up(client)
        response = sign_up(client)
        assert response.status_code == 429
        assert "Retry-After" in response.headers

    def test_nobody_signs_up_while_signed_in(self, organisation: Organisation, anna: User):
        assert leads_to(visit(anna).get(at("accounts:sign-up")), "home")


@pytest.fixture
def link(organisation: Organisation, anna: User, clock: Clock) -> str:
    """An invitation to a viewer's place, for an address without account."""
    return _invited(organisation, anna, "ida@inviteret.example")


def _invited(organisation: Organisation, by: User, email: str) -> str:
    with organisation_context(organisation.id, person_id=by.id):
        invite(email, Role.VIEWER, by=Membership.objects.get(user=by))
    return at("accounts:invitation", token_in(letters()[-1]))


class TestInvitation:
    def test_opening_changes_nothing(self, link: str, client: Client):
        before = counts()
        page = client.get(link)
        assert "Duehuset ApS" in page.text
        assert "<dd>Viewer</dd>" in page.text
        assert counts() == before
        with build.as_owner():
            assert not Invitation.objects.exclude(accepted_at=None).exists()

    def test_newcomer_gets_a_code_and_waits(self, link: str, client: Client):
        page = client.post(link, PERSON)
        with build.as_owner():
            row = Membership.objects.get(user__email="ida@inviteret.example")
        assert (row.role, row.approved_at) == (Role.VIEWER, None)
        code = code_on(page)
        client.post(at("accounts:sign-in"), {"email": "ida@inviteret.example", "password": code})
        new = {"old_password": code, "new_password": "fin-og-lang-77", "repeated": "fin-og-lang-77"}
        client.post(at("accounts:password-change"), new)
        for page_name in ("home", "accounts:team", "accounts:organisation", "accounts:audit-trail"):
            assert leads_to(client.get(at(page_name)), "accounts:organisations"), page_name
        assert "waits for an owner" in client.get(at("accounts:organisations")).text

    def test_newcomer_must_give_a_name(self, link: str, client: Client):
        assert "Look at the marked fields" in client.post(link, {"first_name": "Ida"}).text

    def test_known_address_is_sent_to_sign_in_and_back(
        self, organisation: Organisation, anna: User, carl: User, client: Client, clock: Clock
    ):
        link = _invited(organisation, anna, carl.email)
        assert f"?next={link}" in client.get(link).text
        assert client.post(link, PERSON).status_code == 200
        carls = visit(carl)
        assert "Say yes" in carls.get(link).text
        assert leads_to(carls.post(link), "accounts:organisations")
        with build.as_owner():
            row = Membership.objects.get(user=carl, organisation=organisation)
        assert row.approved_at is None

    def test_is_not_for_somebody_else(self, link: str, carl: User):
        page = visit(carl).post(link)
        assert page.status_code == 404
        assert "another address" in page.text

    def test_link_is_good_once(self, link: str, client: Client):
        client.post(link, PERSON)
        assert client.get(link).status_code == 404

    def test_expired_link_says_so(self, link: str, client: Client, clock: Clock):
        clock.forward(days=60)
        page = client.get(link)
        assert (page.status_code, "has expired" in page.text) == (404, True)


@pytest.mark.parametrize(
    "name", ["accounts:sign-up-confirm", "accounts:invitation", "accounts:password-reset-confirm"]
)
def test_invented_link_opens_nothing(name: str, client: Client):
    for method in (client.get, client.post):
        page = method(at(name, "no-such-token"))
        assert page.status_code == 404
        assert "This link opens nothing" in page.text
