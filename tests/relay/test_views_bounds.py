# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a credential may, as people change it; blocks by people and by staff."""

from __future__ import annotations

import re

import pytest
from django.conf import LazySettings
from django.test import Client

from accounts.models import AuditEvent, Organisation, Role, User
from relay import credentials
from relay.credentials import CredentialBounds
from relay.models import Credential, SendingDomain
from tests import build
from tests.relay import pages
from tests.relay.test_views_credentials import LIST, NEW, WEB_SHOP, credential

pytestmark = pytest.mark.django_db

WRITTEN = {
    "rate_per_minute": "30",
    "daily_cap": "1000",
    "recipients_a_day": "2000",
    "networks": "192.0.2.0/24\r\n2001:db8::7, 192.0.2.0/24",
    "by_network": "on",
    "domains": "Firma.example\nnyheder.firma.example",
}
MEANT = CredentialBounds(
    rate_per_minute=30,
    daily_cap=1000,
    recipients_a_day=2000,
    networks=["192.0.2.0/24", "2001:db8::7/128"],
    by_network=True,
    domains=["firma.example", "nyheder.firma.example"],
)


@pytest.fixture(autouse=True)
def _development(settings: LazySettings) -> None:
    """The networks of examples are no public ones."""
    settings.RELAY_DEVELOPMENT_DOMAINS = True


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


@pytest.fixture
def row(organisation: Organisation) -> Credential:
    proven(organisation, "firma.example")
    return credential(organisation)


def proven(organisation: Organisation, name: str, state: str = "verified") -> None:
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation, name=name, token="x", state=state, created_at=build.NOW
        )


def edit(row: Credential) -> str:
    return f"{LIST}{row.id}/edit/"


def now(row: Credential) -> Credential:
    with build.as_owner():
        row.refresh_from_db()
    return row


def acts() -> list[tuple[str, list[str]]]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", "fields"))


def test_what_is_written_is_what_it_may(page: Client, row: Credential) -> None:
    assert page.post(edit(row), WRITTEN).headers["Location"] == f"{LIST}{row.id}/"
    assert CredentialBounds.of(now(row)) == MEANT
    ((act, fields),) = acts()
    assert act == "credential.changed"
    assert set(fields) == set(WRITTEN)
    text = page.get(f"{LIST}{row.id}/").text
    for part in ("30 messages a minute", "2,000 recipients a day", "192.0.2.0/24", "No secret is"):
        assert part in text
    shown = page.get(edit(row)).text
    assert "192.0.2.0/24\n2001:db8::7/128</textarea>" in shown
    assert re.search(r'name="by_network"[^>]* checked', shown)


def test_saving_what_stands_there_changes_and_records_nothing(
    page: Client, row: Credential
) -> None:
    page.post(edit(row), WRITTEN)
    page.post(edit(row), WRITTEN)
    assert len(acts()) == 1


def test_emptied_form_is_the_usual(page: Client, row: Credential) -> None:
    page.post(edit(row), WRITTEN)
    page.post(edit(row), {"networks": ""})
    assert CredentialBounds.of(now(row)) == credentials.USUAL
    shown = page.get(edit(row)).text
    for field in ("rate_per_minute", "daily_cap"):
        assert f"empty for the usual {getattr(credentials.USUAL, field)}." in shown


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"networks": "192.0.2.0/99"}, "“192.0.2.0/99” is no network"),
        ({"networks": "192.0.2.1/24"}, "“192.0.2.1/24” is no network"),
        ({"networks": "fe80::%eth0/64"}, "is no network"),
        ({"networks": "office"}, "“office” is no network"),
        ({"networks": "\n".join(f"192.0.2.{n}" for n in range(51))}, "At most 50 can be named"),
        ({"by_network": "on"}, "Name the networks"),
        ({"by_network": "on", "networks": "192.0.0.0/16"}, "no wider than /24"),
        ({"by_network": "on", "networks": "192.0.2.7 2001:db8::/32"}, "no wider than /24"),
        ({"domains": "other.example"}, "“other.example” is none of your verified domains"),
        ({"domains": "notfirma.example"}, "is none of your verified domains"),
        ({"domains": "pending.example"}, "is none of your verified domains"),
        ({"domains": "example"}, "is none of your verified domains"),
        ({"rate_per_minute": "0"}, "greater than or equal to 1"),
        ({"daily_cap": "1000001"}, "less than or equal to"),
        ({"recipients_a_day": "many"}, "whole number"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    page: Client, row: Credential, fields: dict[str, str], words: str
) -> None:
    proven(row.organisation, "pending.example", "pending")
    response = page.post(edit(row), fields)
    assert words in response.text
    assert 'role="alert"' in response.text
    assert CredentialBounds.of(now(row)) == credentials.USUAL
    assert acts() == []


def test_a_wide_network_may_bound_a_secret(page: Client, row: Credential) -> None:
    page.post(edit(row), {"networks": "10.0.0.0/8"})
    assert now(row).networks == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    "networks", ["127.0.0.1", "10.0.0.0/24", "8.8.8.0/24\n192.168.1.7", "fd00::/64", "::1"]
)
def test_inner_network_needs_the_secret(
    page: Client, row: Credential, settings: LazySettings, networks: str
) -> None:
    settings.RELAY_DEVELOPMENT_DOMAINS = False
    text = page.post(edit(row), {"by_network": "on", "networks": networks}).text
    assert "must be one of the public internet" in text
    assert not now(row).by_network
    page.post(edit(row), {"networks": networks})
    assert now(row).networks != []
    public = {"by_network": "on", "networks": "8.8.8.0/24 2a00:1450::/48"}
    assert page.post(edit(row), public).status_code == 302


def test_credentials_and_those_without_a_secret_are_bounded(
    page: Client, row: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "CREDENTIALS_MOST", 3)
    monkeypatch.setattr(credentials, "BY_NETWORK_MOST", 1)
    new = {"mode": "live"} | WRITTEN
    assert page.post(NEW, new | {"name": "Printer"}).status_code == 200
    assert "need no secret already" in page.post(NEW, new | {"name": "Scanner"}).text
    assert "need no secret already" in page.post(edit(row), WRITTEN).text
    assert not now(row).by_network
    with build.as_owner():
        printer = Credential.objects.get(name="Printer")
    assert page.post(edit(printer), WRITTEN | {"daily_cap": "7"}).status_code == 302
    page.post(NEW, {"name": "Scanner", "mode": "live"})
    assert "no more can be made" in page.post(NEW, {"name": "Fax", "mode": "live"}).text
    page.post(f"{LIST}{printer.id}/revoke/")
    page.post(NEW, {"name": "Fax", "mode": "live"})
    with build.as_owner():
        assert Credential.objects.filter(name__in=["Scanner", "Fax"]).count() == 2


def test_new_credential_takes_them_at_once(page: Client, organisation: Organisation) -> None:
    proven(organisation, "firma.example")
    assert "<details" in page.get(NEW).text
    assert (
        "no wider than /24"
        in page.post(NEW, WEB_SHOP | {"by_network": "on", "networks": "::/0"}).text
    )
    page.post(NEW, WEB_SHOP | WRITTEN)
    with build.as_owner():
        made = Credential.objects.get(organisation=organisation)
    assert CredentialBounds.of(made) == MEANT


def test_new_credential_without_a_word_has_the_usual(page: Client) -> None:
    page.post(NEW, WEB_SHOP)
    with build.as_owner():
        assert CredentialBounds.of(Credential.objects.get()) == credentials.USUAL


def test_changing_asks_again_who_it_is_after_a_while(bo: User, row: Credential) -> None:
    client = Client()
    with build.as_owner():
        client.force_login(bo)
    for method in (client.get, client.post):
        assert method(edit(row)).headers["Location"].startswith("/en/second-factor/again/")
    assert now(row).daily_cap == credentials.USUAL.daily_cap


def stand(page: Client, row: Credential, word: str) -> str:
    return page.post(f"{LIST}{row.id}/{word}/", follow=True).text


def test_block_and_its_end_are_shown_and_recorded(page: Client, row: Credential) -> None:
    for _ in range(2):
        assert "by one of you" in stand(page, row, "block")
    assert now(row).blocked_at is not None
    assert ">blocked<" in page.get(LIST).text
    for _ in range(2):
        assert "by one of you" not in stand(page, row, "unblock")
    assert (now(row).blocked_at, row.block_reason) == (None, "")
    assert [act for act, _ in acts()] == ["credential.blocked", "credential.unblocked"]


def test_block_of_the_service_is_the_services_to_lift(
    page: Client, row: Credential, dorte: User
) -> None:
    stand(page, row, "block")
    with build.as_owner():
        row.refresh_from_db()
        credentials.block(row, by=dorte, reason=Credential.BlockReason.BY_STAFF)
    text = page.get(f"{LIST}{row.id}/").text
    assert "by the service" in text
    assert "Lift the block" not in text
    assert "only the service can lift the block" in stand(page, row, "unblock")
    assert "by the service" in stand(page, row, "block")
    assert now(row).block_reason == "by_staff"
    with build.as_owner():
        credentials.unblock(row, by=dorte, is_staff=True)
    assert now(row).blocked_at is None


def test_block_of_the_service_outlasts_what_was_read_before_it(row: Credential, bo: User) -> None:
    """Somebody's page is older than the block."""
    with build.as_owner():
        credentials.block(row, by=bo)
        old = Credential.objects.get(pk=row.pk)
        credentials.block(row, by=bo, reason=Credential.BlockReason.BY_STAFF)
        with pytest.raises(credentials.BlockedByStaff):
            credentials.unblock(old, by=bo)
        old.blocked_at, old.block_reason = None, ""
        credentials.block(old, by=bo)
    assert now(row).block_reason == "by_staff"


def test_revoked_credential_is_not_changed_any_more(page: Client, row: Credential) -> None:
    with build.as_owner():
        Credential.objects.update(revoked_at=build.NOW)
    assert "cannot be undone. Make a new one" in page.post(edit(row), WRITTEN).text
    for word in ("block", "unblock"):
        assert "cannot be undone. Make a new one" in stand(page, row, word)
    assert (now(row).blocked_at, row.networks) == (None, [])
    assert acts() == []
    assert edit(row) not in page.get(f"{LIST}{row.id}/").text


def paths(row: Credential) -> list[str]:
    return [f"{LIST}{row.id}/{word}/" for word in ("edit", "block", "unblock")]


def test_another_organisation_gets_nothing(row: Credential, carl: User) -> None:
    client = pages.signed_in(carl)
    assert [client.post(path, WRITTEN).status_code for path in paths(row)] == [404] * 3
    assert acts() == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(
    organisation: Organisation, row: Credential, role: Role
) -> None:
    client = pages.member(organisation, role)
    assert [client.post(path, WRITTEN).status_code for path in paths(row)] == [403] * 3
    if role == Role.VIEWER:
        assert "/edit/" not in client.get(f"{LIST}{row.id}/").text
