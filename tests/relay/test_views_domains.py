# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import idna
import pytest
from django.db import connection
from django.test import Client

from accounts.models import AuditEvent, Organisation, Role, User
from relay import verification
from relay.models import Route, SendingDomain
from tests import build
from tests.relay import pages

pytestmark = pytest.mark.django_db

LIST, NEW = "/en/domains/", "/en/domains/new/"
State, Reason = SendingDomain.State, SendingDomain.Reason


def domain(
    organisation: Organisation, name: str = "due.example", **fields: object
) -> SendingDomain:
    with build.as_owner():
        return SendingDomain.objects.create(
            organisation=organisation, name=name, token="t" * 32, created_at=build.NOW, **fields
        )


def acts() -> list[str]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the name servers say to every question."""
    values: list[str] = []

    async def ask(name: str, kind: str) -> list[str]:
        return list(values) if kind == "TXT" else []

    monkeypatch.setattr(verification, "asker", lambda: ask)
    return values


def test_empty_list_says_what_to_do(page: Client) -> None:
    assert "put one TXT record in its DNS" in page.get(LIST).text


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("due.example", "due.example"),
        (" Due.EXAMPLE ", "due.example"),
        ("mail.due.example", "mail.due.example"),
        ("bøger.example", "xn--bger-gra.example"),
        ("XN--BGER-GRA.example", "xn--bger-gra.example"),
        ("skovgaard.example", "skovgaard.example"),
    ],
)
def test_name_is_kept_as_lower_case_a_label(page: Client, written: str, kept: str) -> None:
    response = page.post(NEW, {"name": written}, follow=True)
    with build.as_owner():
        row = SendingDomain.objects.get()
    assert row.name == kept
    assert f"_brevdue.{kept}" in response.text
    assert f"<h1>{idna.decode(kept)}</h1>" in response.text
    assert row.token in response.text
    assert acts() == ["domain.created"]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("hej@due.example", "That is not a domain name"),
        ("https://due.example", "That is not a domain name"),
        ("due", "That is not a domain name"),
        ("due.example.", "That is not a domain name"),
        ("192.0.2.1", "That is not a domain name"),
        ("xn--a.example", "That is not a domain name"),
        ("due_hus.example", "That is not a domain name"),
        ("co.uk", "belongs to nobody"),
        ("github.io", "belongs to nobody"),
        ("", "This field is required"),
    ],
)
def test_what_is_no_domain_is_refused_with_a_way_on(page: Client, written: str, says: str) -> None:
    response = page.post(NEW, {"name": written})
    assert says in response.text
    assert f'value="{written}"' in response.text or not written
    with build.as_owner():
        assert not SendingDomain.objects.exists()


def test_domain_is_added_once(page: Client, organisation: Organisation) -> None:
    domain(organisation)
    assert "in your list already" in page.post(NEW, {"name": "due.example"}).text


def test_check_now_proves_and_is_recorded(
    page: Client, organisation: Organisation, answer: list[str]
) -> None:
    row = domain(organisation)
    path = f"{LIST}{row.id}/verify/"
    assert "There is no TXT record at this name" in page.post(path, follow=True).text
    answer.append("wrong")
    assert "but with another value" in page.post(path, follow=True).text
    answer.append(row.token)
    assert "You can send from this domain" in page.post(path, follow=True).text
    assert acts() == ["domain.verified"]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_waits_for_the_name_servers(
    page: Client,
    organisation: Organisation,
    answer: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_while_waiting: list[bool] = []
    find = verification.find

    def noting(row: SendingDomain) -> verification.Looked:
        open_while_waiting.append(connection.in_atomic_block)
        return find(row)

    answer.append("t" * 32)
    monkeypatch.setattr(verification, "find", noting)
    row = domain(organisation)
    assert "You can send" in page.post(f"{LIST}{row.id}/verify/", follow=True).text
    assert open_while_waiting == [False]
    assert acts() == ["domain.verified"]


def test_domain_removed_while_it_was_looked_for_is_not_found(
    page: Client,
    organisation: Organisation,
    answer: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = verification.find

    def removing(row: SendingDomain) -> verification.Looked:
        with build.as_owner():
            SendingDomain.objects.all().delete()
        return find(row)

    monkeypatch.setattr(verification, "find", removing)
    row = domain(organisation)
    assert page.post(f"{LIST}{row.id}/verify/").status_code == 404
    assert acts() == []


def test_check_by_htmx_brings_the_state_alone(
    page: Client, organisation: Organisation, answer: list[str]
) -> None:
    row = domain(organisation)
    response = page.post(f"{LIST}{row.id}/verify/", headers={"hx-request": "true"})
    assert response.status_code == 200
    assert "<html" not in response.text
    assert 'id="domain-state"' in response.text


def test_checks_are_limited(
    page: Client, organisation: Organisation, answer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.limits._wait", lambda *args: 1)
    row = domain(organisation)
    response = page.post(f"{LIST}{row.id}/verify/", follow=True)
    assert "Too many tries" in response.text
    response = page.post(f"{LIST}{row.id}/verify/", headers={"hx-request": "true"})
    assert "Too many tries" in response.text
    with build.as_owner():
        row.refresh_from_db()
    assert row.checked_at is None


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        (State.FAILING, Reason.NOT_FOUND, "You can go on sending until"),
        (State.PENDING, Reason.UNREACHABLE, "did not answer"),
        (State.PENDING, Reason.TAKEN, "another organisation here has proved the same name"),
        (State.VERIFIED, Reason.DEVELOPMENT, "A name for development"),
    ],
)
def test_state_and_reason_are_told_in_words(
    page: Client, organisation: Organisation, state: str, reason: str, says: str
) -> None:
    row = domain(organisation, state=state, reason=reason, verified_at=build.NOW)
    assert says in page.get(f"{LIST}{row.id}/").text


def test_removing_shows_what_goes_and_asks(page: Client, organisation: Organisation) -> None:
    row = domain(organisation)
    with build.as_owner():
        Route.objects.create(
            organisation=organisation, name="own", host="mail.due.example", domain=row,
            created_at=build.NOW,
        )  # fmt: skip
    path = f"{LIST}{row.id}/remove/"
    assert "One route serves this domain alone" in page.get(path).text
    assert page.post(path).headers["Location"] == LIST
    with build.as_owner():
        assert not SendingDomain.objects.exists()
        assert not Route.objects.exists()
    assert acts() == ["domain.removed"]


def test_another_organisation_gets_what_a_missing_id_gets(
    organisation: Organisation, carl: User
) -> None:
    row, client = domain(organisation), pages.signed_in(carl)
    for tail in ("", "verify/", "remove/"):
        for method in (client.get, client.post):
            found = method(f"{LIST}{row.id}/{tail}")
            absent = method(f"{LIST}{carl.id}/{tail}")
            assert found.status_code == absent.status_code
            assert found.status_code in (404, 405)
    assert "due.example" not in client.get(LIST).text
    with build.as_owner():
        row.refresh_from_db()
    assert row.checked_at is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_role_that_may_not_change_is_refused(organisation: Organisation, role: Role) -> None:
    row, client = domain(organisation), pages.member(organisation, role)
    assert client.post(f"{LIST}{row.id}/verify/").status_code == 403
    for path in (NEW, f"{LIST}{row.id}/remove/"):
        for method in (client.get, client.post):
            assert method(path).status_code == 403
    reads = 200 if role == Role.VIEWER else 403
    assert client.get(LIST).status_code == client.get(f"{LIST}{row.id}/").status_code == reads


def test_list_takes_the_same_queries_however_long(
    page: Client, organisation: Organisation, django_assert_num_queries
) -> None:
    for count in (1, 30):
        for number in range(count):
            domain(organisation, f"d{count}-{number}.example")
        with django_assert_num_queries(18):
            assert f"d{count}-0.example" in page.get(LIST).text
