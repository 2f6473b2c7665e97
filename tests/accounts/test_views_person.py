# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person's own pages and their organisations."""

from __future__ import annotations

import re

import pytest

from accounts.models import Membership, Organisation, Role, Session, User
from tests import build
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

PROFILE = {
    "first_name": "Anne",
    "last_name": "Due-Krog",
    "language": "en",
    "time_zone": "Europe/London",
}


def test_profile_is_corrected(organisation: Organisation, anna: User):
    client = visit(anna)
    page = client.get(at("accounts:profile"))
    assert 'value="Anna"' in page.text
    assert "anna@due.example" in page.text
    assert leads_to(client.post(at("accounts:profile"), PROFILE), "accounts:profile")
    page = client.get(at("accounts:profile"))
    assert "Saved." in page.text
    assert 'value="Anne"' in page.text
    with build.as_owner():
        anna.refresh_from_db()
    assert (anna.last_name, anna.time_zone, anna.email) == (
        "Due-Krog",
        "Europe/London",
        "anna@due.example",
    )


def test_profile_with_a_fault_is_not_saved(organisation: Organisation, anna: User):
    page = visit(anna).post(at("accounts:profile"), PROFILE | {"time_zone": "Mars/Base"})
    assert page.status_code == 200
    assert "Look at the marked fields" in page.text


def test_times_are_in_the_persons_zone(organisation: Organisation, anna: User):
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(time_zone="America/New_York")
    page = visit(anna).get(at("accounts:team"))
    assert re.search(r'title="2026-11-20T12:00:00.000Z">[^<]*7', page.text)


def test_other_sessions_are_counted_and_ended(organisation: Organisation, anna: User, bo: User):
    here, elsewhere, bos = visit(anna), visit(anna), visit(bo)
    assert "in 1 other browser." in here.get(at("accounts:security")).text
    end = at("accounts:sessions-end")
    assert "1 other browser is signed out" in here.get(end).text
    assert Session.objects.count() == 3
    assert leads_to(here.post(end), "accounts:security")
    page = here.get(at("accounts:security"))
    assert "Signed out in 1 other browser." in page.text
    assert "Only in this browser." in page.text
    assert leads_to(elsewhere.get(at("accounts:team")), "accounts:sign-in")
    assert bos.get(at("accounts:team")).status_code == 200


def test_few_backup_codes_are_warned_of(organisation: Organisation, anna: User):
    build.second_factor(anna)
    page = visit(anna).get(at("accounts:security"))
    assert "Make new ones before they run out" in page.text


class TestOrganisations:
    def test_person_without_one_is_told_what_to_do(self, db: None):
        client = visit(build.person("Ene", "Alene"))
        assert leads_to(client.get(at("home")), "accounts:organisations")
        page = client.get(at("accounts:organisations"))
        assert "You belong to no organisation yet" in page.text

    def test_founding_opens_the_new_one(self, organisation: Organisation, anna: User):
        client = visit(anna)
        found = at("accounts:organisation-found")
        assert "You become its owner" in client.get(found).text
        answer = client.post(found, {"name": "Nyt Hus ApS", "country": "DK"})
        assert leads_to(answer, "home")
        assert "Nyt Hus ApS" in client.get(at("home")).text
        with build.as_owner():
            row = Membership.objects.get(organisation__name="Nyt Hus ApS")
        assert (row.user_id, row.role) == (anna.id, Role.OWNER)

    def test_choosing_opens_another(
        self, organisation: Organisation, other_organisation: Organisation, anna: User
    ):
        build.member(other_organisation, anna, Role.VIEWER)
        client = visit(anna)
        assert "Andet Hus A/S" in client.get(at("accounts:organisations")).text
        choose = at("accounts:organisation-choose", other_organisation.id)
        assert client.get(choose).status_code == 405
        assert leads_to(client.post(choose), "home")
        page = client.get(at("home"))
        assert "Andet Hus A/S" in page.text
        assert "Duehuset" not in page.text

    def test_who_waits_cannot_choose(
        self, organisation: Organisation, other_organisation: Organisation, anna: User
    ):
        build.member(other_organisation, anna, Role.OWNER, approved_at=None)
        client = visit(anna, other_organisation)
        choose = at("accounts:organisation-choose", other_organisation.id)
        assert client.post(choose).status_code == 404
        assert "Duehuset ApS" in client.get(at("home")).text

    def test_settings_are_corrected(self, organisation: Organisation, anna: User):
        client = visit(anna)
        settings = at("accounts:organisation")
        assert 'value="Duehuset ApS"' in client.get(settings).text
        values = {"name": "Duehuset A/S", "country": "DK", "queue_lifetime_hours": 24}
        assert leads_to(client.post(settings, values), "accounts:organisation")
        with build.as_owner():
            organisation.refresh_from_db()
        assert (organisation.name, organisation.queue_lifetime_hours) == ("Duehuset A/S", 24)
        trail = client.get(at("accounts:audit-trail")).text
        assert "Organisation: corrected" in trail
        assert "Duehuset ApS" not in trail

    @pytest.mark.parametrize("hours", [3, 121, ""])
    def test_settings_out_of_bounds_are_refused(
        self, hours: object, organisation: Organisation, anna: User
    ):
        values = {"name": "X", "country": "DK", "queue_lifetime_hours": hours}
        assert visit(anna).post(at("accounts:organisation"), values).status_code == 200
        with build.as_owner():
            organisation.refresh_from_db()
        assert organisation.name == "Duehuset ApS"
