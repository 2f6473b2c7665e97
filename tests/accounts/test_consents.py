# SPDX-License-Identifier: AGPL-3.0-or-later
"""Consents: nothing is kept before the confirmation, nothing but its end is written after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from accounts import consents, links, wordings
from accounts.models import Consent, Organisation, User
from accounts.tenancy import person_context
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_signup import letters, token_in
from tests.accounts.test_views_joining import FORM, code_on, sign_up
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

NEWSLETTER, TRACKING = Consent.Purpose.NEWSLETTER, Consent.Purpose.TRACKING
PROFILE = Consent.Channel.PROFILE
# Of each version in each language: words that change are a version of their own.
DIGESTS = {
    ("newsletter", 1, "da"): "d0b209157ff2d1e4fb7a712d99f07e278b91e6be23d84d39259dec0d7afc31da",
    ("newsletter", 1, "en"): "78117529ea3f77956cdee0b87320e7a98e12f49950b12a3d93cf478d5419b410",
    ("tracking", 1, "da"): "3124b03f4e1d69d7465360981a3af6f2f11cce6f32f17541740b5c1638fe8c54",
    ("tracking", 1, "en"): "c7f5e8c4b3a91b6e2f0d4be7fc147fab6f66c69dd0ef128e73209fd5854e7f57",
}


def of(person: User) -> list[tuple[str, bool]]:
    """The person's consents, and whether each is in force."""
    with build.as_owner():
        rows = Consent.objects.filter(user=person).order_by("purpose", "given_at")
        return [(row.purpose, row.withdrawn_at is None) for row in rows]


def given(person: User, *purposes: Consent.Purpose) -> str:
    """Ask and confirm; returns the token of the mail that asked."""
    with person_context(person.pk):
        consents.ask(person, purposes, PROFILE)
    token = token_in(letters()[-1])
    consents.confirm(token)
    return token


def test_words_of_a_version_are_never_changed():
    found = {
        (str(purpose), wording.version, language): wording.digest(language)
        for purpose, versions in wordings.WORDINGS.items()
        for wording in versions
        for language in ("da", "en")
    }
    assert found == DIGESTS


def test_versions_count_up_from_one():
    for versions in wordings.WORDINGS.values():
        assert [one.version for one in versions] == list(range(1, len(versions) + 1))


def test_newsletter_is_kept_when_the_link_is_confirmed(anna: User):
    with person_context(anna.pk):
        consents.ask(anna, [NEWSLETTER, TRACKING], PROFILE)
    (letter,) = letters()
    assert (letter["kind"], letter["to"]) == ("consent_confirm", "anna@due.example")
    for purpose in (NEWSLETTER, TRACKING):
        assert wordings.current(purpose).da in letter["text"]
    assert of(anna) == []
    consents.confirm(token_in(letter))
    assert of(anna) == [("newsletter", True), ("tracking", True)]
    with build.as_owner():
        row = Consent.objects.get(purpose=NEWSLETTER)
    wording = wordings.current(NEWSLETTER)
    assert (row.version, row.language) == (wording.version, "da")
    assert row.digest == wording.digest("da")
    assert (row.given_in, row.given_at <= row.confirmed_at) == ("profile", True)


def test_a_link_confirms_once_and_not_what_was_withdrawn_since(anna: User, clock: Clock):
    token = given(anna, NEWSLETTER)
    assert consents.confirm(token) == []
    assert [letter["kind"] for letter in letters()] == ["consent_confirm", "consent_confirmed"]
    clock.forward(minutes=1)
    with person_context(anna.pk):
        assert consents.withdraw(anna, [NEWSLETTER], PROFILE) == 1
    with pytest.raises(links.LinkInvalid):
        consents.confirm(token)
    assert of(anna) == [("newsletter", False)]


def test_a_link_runs_out(anna: User, clock: Clock):
    with person_context(anna.pk):
        consents.ask(anna, [NEWSLETTER], PROFILE)
    clock.forward(days=consents.CONFIRM_DAYS)
    with pytest.raises(links.LinkExpired):
        consents.confirm(token_in(letters()[0]))
    assert of(anna) == []


def test_a_link_is_of_the_address_it_was_sent_to(anna: User):
    with person_context(anna.pk):
        consents.ask(anna, [NEWSLETTER], PROFILE)
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(email="anna@ny.example")
    with pytest.raises(links.LinkInvalid):
        consents.confirm(token_in(letters()[0]))


def test_nothing_is_measured_without_the_newsletter(anna: User):
    with person_context(anna.pk), pytest.raises(consents.NoNewsletter):
        consents.ask(anna, [TRACKING], PROFILE)
    given(anna, NEWSLETTER)
    with person_context(anna.pk):
        consents.ask(anna, [TRACKING], PROFILE)
        assert set(consents.in_force(anna)) == {"newsletter", "tracking"}
        assert consents.withdraw(anna, [TRACKING], PROFILE) == 1
        consents.ask(anna, [TRACKING], PROFILE)
        assert consents.withdraw(anna, [NEWSLETTER], PROFILE) == 2
    assert of(anna) == [("newsletter", False), ("tracking", False), ("tracking", False)]


def test_the_end_of_a_consent_is_all_that_is_written(anna: User):
    given(anna, NEWSLETTER)
    for role, changed in (
        ("web", {"version": 2}),
        ("duty", {"version": 2}),
        ("duty", {"given_at": build.NOW - timedelta(days=9)}),
        ("staff", {"digest": "y"}),
    ):
        with (
            build.as_role(role),
            person_context(anna.pk),
            pytest.raises(DatabaseError),
            transaction.atomic(),
        ):
            Consent.objects.update(**changed)
    with person_context(anna.pk):
        consents.withdraw_all(anna, PROFILE)
        with pytest.raises(DatabaseError), transaction.atomic():
            Consent.objects.update(withdrawn_at=None, withdrawn_in="")


def test_others_consents_are_nobodys_business(anna: User, carl: User):
    given(anna, NEWSLETTER)
    with person_context(carl.pk):
        assert not Consent.objects.exists()
        assert consents.withdraw_all(anna, PROFILE) == 0
    assert of(anna) == [("newsletter", True)]


class TestPages:
    def test_boxes_are_empty_and_each_choice_has_its_own(self, client: Client, anna: User):
        for page in (client.get(at("accounts:sign-up")), visit(anna).get(at("accounts:consents"))):
            for purpose in (NEWSLETTER, TRACKING):
                assert f'type="checkbox" name="{purpose}"' in page.text
                assert wordings.current(purpose).en in page.text.replace("&#x27;", "'")
            assert "checked" not in page.text

    def test_sign_up_without_a_tick_asks_for_nothing(self, client: Client):
        sign_up(client)
        client.post(at("accounts:sign-up-confirm", token_in(letters()[0])))
        assert [letter["kind"] for letter in letters()] == ["confirm_address"]

    def test_sign_up_with_a_tick_is_confirmed_by_a_mail_of_its_own(self, client: Client):
        client.post(at("accounts:sign-up"), FORM | {"newsletter": "on", "tracking": "on"})
        code_on(client.post(at("accounts:sign-up-confirm", token_in(letters()[0]))))
        with build.as_owner():
            nina = User.objects.get(email="nina@ny.example")
        assert of(nina) == []
        link = at("accounts:consent-confirm", token_in(letters()[-1]))
        assert wordings.current(NEWSLETTER).en in client.get(link).text.replace("&#x27;", "'")
        assert of(nina) == []
        assert "Thank you" in client.post(link).text
        assert of(nina) == [("newsletter", True), ("tracking", True)]
        with build.as_owner():
            assert set(Consent.objects.values_list("given_in", flat=True)) == {"sign_up"}

    def test_one_press_ends_it(self, anna: User):
        given(anna, NEWSLETTER)
        client, page = visit(anna), at("accounts:consents")
        assert wordings.current(NEWSLETTER).da in client.get(page).text
        assert leads_to(client.post(page, {"withdraw": "newsletter"}), "accounts:consents")
        assert "You have said yes to nothing here" in client.get(page).text
        assert of(anna) == [("newsletter", False)]
        assert client.post(page, {"withdraw": "everything"}).status_code == 302

    def test_link_of_the_mail_ends_it_without_a_sign_in(self, anna: User, client: Client):
        given(anna, NEWSLETTER, TRACKING)
        link = at("accounts:consent-end", token_in(letters()[-1]))
        assert client.get(link).status_code == 200
        assert of(anna) == [("newsletter", True), ("tracking", True)]
        for _ in range(2):
            assert "Withdrawn" in client.post(link).text
        assert of(anna) == [("newsletter", False), ("tracking", False)]

    def test_link_of_the_mail_ends_it_for_who_is_signed_in_and_restricted(self, anna: User):
        given(anna, NEWSLETTER)
        link = at("accounts:consent-end", token_in(letters()[-1]))
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(restricted_at=build.NOW)
        assert "Withdrawn" in visit(anna).post(link).text
        assert of(anna) == [("newsletter", False)]

    def test_who_is_restricted_ends_a_consent_and_gives_none(self, anna: User):
        given(anna, NEWSLETTER)
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(restricted_at=build.NOW)
        client, page = visit(anna), at("accounts:consents")
        assert 'type="checkbox"' not in client.get(page).text
        client.post(page, {"withdraw": "newsletter"})
        client.post(page, {"newsletter": "on"})
        assert of(anna) == [("newsletter", False)]
        assert len(letters()) == 2

    def test_links_of_other_kinds_open_nothing(self, anna: User, client: Client):
        token = given(anna, NEWSLETTER)
        assert client.post(at("accounts:consent-end", token)).status_code == 404
        assert client.post(at("accounts:consent-confirm", "x" * 40)).status_code == 404
        assert of(anna) == [("newsletter", True)]

    def test_page_shows_nobody_elses(self, anna: User, organisation: Organisation, bo: User):
        given(anna, NEWSLETTER)
        assert "You have said yes to nothing here" in visit(bo).get(at("accounts:consents")).text
