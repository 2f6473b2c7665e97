# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second factor through the pages: set up, renewed, removed; asked for where it must be."""

from __future__ import annotations

import re
from base64 import b32decode
from typing import Any

import pytest
from django.test import Client

from accounts.models import BackupCode, BackupCodeDevice, Organisation, TOTPDevice, User
from accounts.models.devices import code_hash
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_twofactor import value
from tests.accounts.visiting import at, leads_to, visit

pytestmark = pytest.mark.django_db

GUARDED = (
    "accounts:second-factor-enrol",
    "accounts:backup-codes-renew",
    "accounts:second-factor-remove",
)


def step_up(client: Client, **proof: str) -> Any:
    return client.post(at("accounts:step-up"), proof)


def secret_on(page: Any) -> bytes:
    found = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page.text)
    assert found
    return b32decode(found[1].replace(" ", ""))


def codes_on(page: Any) -> list[str]:
    return re.findall(r"<li><code>([^<]+)</code></li>", page.text)


def test_set_up_from_password_to_backup_code(organisation: Organisation, anna: User, clock: Clock):
    client = visit(anna)
    enrol = at("accounts:second-factor-enrol")
    client.get(client.get(enrol).headers["Location"])
    assert step_up(client, password=build.PASSWORD).headers["Location"] == enrol

    secret = secret_on(client.get(enrol))
    wrong = client.post(enrol, {"token": "000000"})
    assert (wrong.status_code, "The code is wrong" in wrong.text) == (200, True)
    assert secret_on(wrong) == secret
    page = client.post(enrol, {"token": value(secret, clock)})
    assert len(codes_on(page)) == 10
    assert "no-store" in page.headers["Cache-Control"]
    assert "You have 10 unused backup codes" in client.get(at("accounts:security")).text

    fresh = Client()
    fresh.post(at("accounts:sign-in"), {"email": anna.email, "password": build.PASSWORD})
    assert leads_to(fresh.get(at("home")), "accounts:second-factor")
    fresh.post(at("accounts:second-factor"), {"token": codes_on(page)[0]})
    assert "You have 9 unused" in fresh.get(at("accounts:security")).text


@pytest.fixture
def protected(organisation: Organisation, anna: User) -> bytes:
    """The key of Anna's app; she has one backup code left."""
    secret = build.second_factor(anna)
    with build.as_owner():
        device = BackupCodeDevice.objects.create(user=anna, name="codes", created_at=build.NOW)
        BackupCode.objects.create(device=device, user=anna, code_hash=code_hash(anna.id, "x"))
    return secret


@pytest.mark.parametrize("name", GUARDED)
def test_change_of_the_factor_needs_a_fresh_proof(
    name: str, protected: bytes, anna: User, clock: Clock
):
    client = visit(anna)
    for method in (client.get, client.post):
        assert leads_to(method(at(name)), "accounts:step-up")
    assert "backup codes" in client.get(at("accounts:step-up"), {"next": at(name)}).text
    assert "is wrong" in step_up(client, token="000000").text
    assert leads_to(step_up(client, token=value(protected, clock)), name)
    assert client.get(at(name)).status_code == 200
    clock.forward(minutes=11)
    assert leads_to(client.get(at(name)), "accounts:step-up")


@pytest.mark.parametrize("name", [*GUARDED, "accounts:step-up"])
def test_password_alone_changes_nothing_about_the_factor(
    name: str, protected: bytes, anna: User, client: Client
):
    client.post(at("accounts:sign-in"), {"email": anna.email, "password": build.PASSWORD})
    for method in (client.get, client.post):
        assert leads_to(method(at(name)), "accounts:second-factor")


def test_new_codes_void_the_old(protected: bytes, anna: User, clock: Clock):
    client = visit(anna)
    step_up(client, token=value(protected, clock))
    renew = at("accounts:backup-codes-renew")
    assert "Make new backup codes?" in client.get(renew).text
    assert len(codes_on(client.post(renew))) == 10
    with build.as_owner():
        assert BackupCode.objects.filter(user=anna).count() == 10


def test_removal_takes_a_button(protected: bytes, anna: User, clock: Clock):
    client = visit(anna)
    step_up(client, token=value(protected, clock))
    remove = at("accounts:second-factor-remove")
    assert "Remove your second factor?" in client.get(remove).text
    with build.as_owner():
        assert TOTPDevice.objects.filter(user=anna).exists()
    assert leads_to(client.post(remove), "accounts:security")
    with build.as_owner():
        assert not TOTPDevice.objects.filter(user=anna).exists()
    assert "Set up a second factor" in client.get(at("accounts:security")).text


def test_required_factor_is_not_removed(
    protected: bytes, organisation: Organisation, anna: User, clock: Clock
):
    with build.as_owner():
        Organisation.objects.filter(pk=organisation.pk).update(second_factor_required=True)
    client = visit(anna)
    step_up(client, token=value(protected, clock))
    assert leads_to(client.post(at("accounts:second-factor-remove")), "accounts:security")
    assert "A second factor is required here" in client.get(at("accounts:security")).text
    with build.as_owner():
        assert TOTPDevice.objects.filter(user=anna).exists()


def test_who_has_no_factor_has_nothing_to_renew_or_remove(organisation: Organisation, anna: User):
    client = visit(anna)
    step_up(client, password=build.PASSWORD)
    for name in GUARDED[1:]:
        assert leads_to(client.get(at(name)), "accounts:security")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("accounts:second-factor", "token"),
        ("accounts:second-factor-enrol", "token"),
        ("accounts:step-up", "token"),
        ("accounts:step-up", "password"),
    ],
)
def test_codes_and_passwords_stay_out_of_error_reports(anna: User, name: str, field: str):
    response: Any = visit(anna).post(at(name), {field: "x"})
    assert field in response.wsgi_request.sensitive_post_parameters


def test_proof_tries_are_limited(organisation: Organisation, anna: User):
    client = visit(anna)
    for _ in range(10):
        assert step_up(client, password="forkert-kode-12").status_code == 200
    assert step_up(client, password=build.PASSWORD).status_code == 429


class TestDemanded:
    """Where a second factor is demanded, nothing opens before it is set up."""

    PAGES = ("home", "accounts:team", "accounts:profile", "accounts:password-change")

    def test_by_the_organisation(self, organisation: Organisation, anna: User, bo: User):
        with build.as_owner():
            Organisation.objects.filter(pk=organisation.pk).update(second_factor_required=True)
        for person in (anna, bo):
            self._is_demanded(visit(person))

    def test_of_staff(self, dorte: User):
        self._is_demanded(visit(dorte))
        assert leads_to(visit(dorte).get("/en/staff/"), "accounts:second-factor-enrol")

    def _is_demanded(self, client: Client) -> None:
        for page in self.PAGES:
            assert leads_to(client.get(at(page)), "accounts:second-factor-enrol"), page
        assert client.get(at("accounts:sign-out")).status_code == 200
