# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts import vault
from accounts.models import AuditEvent, Organisation, Role, User
from relay import credentials
from relay.models import Credential, SendingDomain
from relay.submission import SECRET_PURPOSE
from tests import build
from tests.relay import pages

pytestmark = pytest.mark.django_db

LIST, NEW = "/en/credentials/", "/en/credentials/new/"
WEB_SHOP = {"name": "Web shop", "mode": "live"}


def credential(organisation: Organisation, name: str = "Web shop", number: int = 0) -> Credential:
    with build.as_owner():
        return Credential.objects.create(
            organisation=organisation,
            name=name,
            username=f"{organisation.id.hex[-12:]}{number}",
            secret_hash=b"x" * 32,
            created_at=build.NOW,
        )


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def test_empty_list_says_what_to_do(page: Client) -> None:
    response = page.get(LIST)
    assert "No credentials yet" in response.text
    assert NEW in response.text


def test_secret_is_shown_once_and_kept_as_a_hash(page: Client, organisation: Organisation) -> None:
    response = page.post(NEW, WEB_SHOP)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    (secret,) = re.findall(r'id="secret">([^<]+)<', response.text)
    with build.as_owner():
        row = Credential.objects.get(organisation=organisation)
    assert bytes(row.secret_hash) == vault.keyed_hash(SECRET_PURPOSE, secret.encode())
    assert len(secret) * 6 >= 160
    for path in (LIST, f"{LIST}{row.id}/", f"{LIST}{row.id}/revoke/"):
        assert secret not in page.get(path).text
    assert response.text.count(secret) == 1
    assert acts() == ["credential.created"]


def test_sandbox_is_offered_before_the_organisation_may_send(
    page: Client, organisation: Organisation
) -> None:
    assert re.search(r'value="live"[^>]* checked', page.get(NEW).text)
    assert "nobody receives it" not in page.get(LIST).text
    with build.as_owner():
        Organisation.objects.update(sending_allowed=False)
    assert "Make one for the sandbox before you may send" in page.get(LIST).text
    assert re.search(r'value="sandbox"[^>]* checked', page.get(NEW).text)


def test_sandbox_credential_says_what_it_does(page: Client) -> None:
    words = "Sandbox: mail sent with this credential is checked"
    assert words not in page.post(NEW, WEB_SHOP).text
    assert words in page.post(NEW, {"name": "Try", "mode": "sandbox"}).text
    with build.as_owner():
        row = Credential.objects.get(mode=Credential.Mode.SANDBOX)
    assert row.name == "Try"
    text = page.get(f"{LIST}{row.id}/").text
    assert (words in text, "invented people" in text) == (True, False)
    with build.as_owner():
        Organisation.objects.update(sending_allowed=False)
    assert "invented people" in page.get(f"{LIST}{row.id}/").text
    assert page.get(LIST).text.count('class="state">sandbox<') == 1


@pytest.mark.parametrize("mode", [{}, {"mode": "blocked"}])
def test_credential_without_a_known_mode_is_not_made(page: Client, mode: dict[str, str]) -> None:
    assert 'role="alert"' in page.post(NEW, {"name": "Web shop"} | mode).text
    with build.as_owner():
        assert not Credential.objects.exists()


def test_same_form_twice_makes_one_credential(page: Client) -> None:
    page.post(NEW, WEB_SHOP)
    again = page.post(NEW, WEB_SHOP)
    assert "Nothing was made. Choose another name" in again.text
    with build.as_owner():
        assert Credential.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_same_form_twice_at_once_makes_one_credential(page: Client) -> None:
    """The second begins before the first has committed, and waits for it."""
    begun = threading.Event()
    answered: list[str] = []

    def second() -> None:
        begun.wait(10)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE web")
            answered.append(page.post(NEW, WEB_SHOP).text)
        finally:
            connections.close_all()

    other = threading.Thread(target=second)
    other.start()
    first_made = credentials.make

    def slowly(*values: Any) -> credentials.Issued:
        issued = first_made(*values)
        if not begun.is_set():
            begun.set()
            time.sleep(1)
        return issued

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "make", slowly)
        answered.append(page.post(NEW, WEB_SHOP).text)
        other.join()
    assert sum("Nothing was made. Choose another name" in text for text in answered) == 1
    with build.as_owner():
        assert Credential.objects.count() == 1


def test_name_of_a_revoked_credential_is_free_again(page: Client) -> None:
    page.post(NEW, WEB_SHOP)
    with build.as_owner():
        Credential.objects.update(revoked_at=build.NOW)
    page.post(NEW, WEB_SHOP)
    with build.as_owner():
        assert Credential.objects.count() == 2


def test_credential_without_name_is_asked_for_one(page: Client) -> None:
    response = page.post(NEW, WEB_SHOP | {"name": " "})
    assert "This field is required" in response.text
    assert 'href="#id_name"' in response.text


def test_making_one_asks_again_who_it_is_after_a_while(bo: User) -> None:
    client = Client()
    with build.as_owner():
        client.force_login(bo)
    response = client.get(NEW)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/en/second-factor/again/")


def test_snippets_are_filled_in_without_the_secret(
    page: Client, organisation: Organisation, settings
) -> None:
    settings.SMTP_HOST, settings.RELAY_HOSTNAME = "0.0.0.0", "relay.brevdue.example"
    settings.SMTPS_PORT = 465
    with build.as_owner():
        SendingDomain.objects.create(
            organisation=organisation, name="due.example", token="x", created_at=build.NOW,
            verified_at=build.NOW, state=SendingDomain.State.VERIFIED,
        )  # fmt: skip
    row = credential(organisation)
    text = page.get(f"{LIST}{row.id}/").text
    for name in ("swaks", "smtplib", "Django", "nodemailer", "PHPMailer", "Postfix"):
        assert name in text
    assert text.count("relay.brevdue.example") >= 7
    assert text.count(row.username) >= 7
    assert text.count("you@due.example") >= 8
    assert text.count("BREVDUE_SECRET") >= 5
    assert text.index("<code>465</code>") < text.index("STARTTLS")


def test_revoking_asks_first_and_is_recorded_once(page: Client, organisation: Organisation) -> None:
    row = credential(organisation)
    path = f"{LIST}{row.id}/revoke/"
    assert "Revoke “Web shop”?" in page.get(path).text
    for _ in range(2):
        assert page.post(path).headers["Location"] == LIST
    with build.as_owner():
        row.refresh_from_db()
    assert row.revoked_at is not None
    assert acts() == ["credential.revoked"]
    assert "revoked" in page.get(LIST).text


def paths(row: Credential) -> list[str]:
    return [f"{LIST}{row.id}/", f"{LIST}{row.id}/revoke/"]


def test_another_organisation_gets_what_a_missing_id_gets(
    organisation: Organisation, carl: User
) -> None:
    row, client = credential(organisation), pages.signed_in(carl)
    missing = Credential(id=carl.id)
    for own, none in zip(paths(row), paths(missing), strict=True):
        for method in (client.get, client.post):
            found, absent = method(own), method(none)
            assert found.status_code == absent.status_code
            assert found.content.replace(str(row.id).encode(), b"") == absent.content.replace(
                str(missing.id).encode(), b""
            )
        assert client.get(own).status_code == 404
    assert row.username not in client.get(LIST).text
    assert acts() == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(organisation: Organisation, role: Role) -> None:
    row, client = credential(organisation), pages.member(organisation, role)
    for path in (NEW, f"{LIST}{row.id}/revoke/"):
        for method in (client.get, client.post):
            assert method(path).status_code == 403
    reads = 200 if role == Role.VIEWER else 403
    assert client.get(LIST).status_code == client.get(f"{LIST}{row.id}/").status_code == reads


def test_anonymous_is_led_to_sign_in(organisation: Organisation, client: Client) -> None:
    for path in (LIST, NEW, *paths(credential(organisation))):
        assert client.get(path).headers["Location"].startswith("/en/sign-in/?next=")


def test_list_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        for number in range(count):
            credential(organisation, f"{count}-{number}", count * 100 + number)
        with django_assert_num_queries(18):
            assert f"{count}-0" in page.get(LIST).text


def test_addresses_are_the_same_words_in_both_languages() -> None:
    with override("da"):
        assert reverse("relay:credentials") == "/credentials/"
