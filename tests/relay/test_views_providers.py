# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages about routes through a provider's account."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Organisation, Role, User
from accounts.tenancy import organisation_context
from relay import espaccounts
from relay.esp.providers import PROVIDERS, Keys
from relay.models import Route
from tests import build
from tests.relay import pages
from tests.relay.test_views_route_order import left_alone, let_go
from tests.testbed import esp

pytestmark = pytest.mark.django_db

NEW = "/en/routes/new/provider/"
FIELDS = {
    "name": "Udbyder", "provider": "brevo", "secret": esp.KEY, "priority": 10, "concurrency": 10,
    "provider_domain": "", "username": "", "signing": "",
}  # fmt: skip


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def stored() -> Route:
    with build.as_owner():
        return Route.objects.get()


def keys(organisation: Organisation) -> Keys:
    with organisation_context(organisation.id):
        return Keys.split(espaccounts.secret(stored()))


def fields() -> list[list[str]]:
    with build.as_owner():
        return list(AuditEvent.objects.order_by("sequence").values_list("fields", flat=True))


@pytest.mark.parametrize("path", [NEW, "/routes/new/provider/"])
def test_the_page_says_that_the_mail_is_taken_apart(page: Client, path: str) -> None:
    text = page.get(path).text
    assert ("takes a mail apart" in text) or ("skiller mailen ad" in text)


def test_keys_go_in_sealed_and_never_come_out(page: Client, organisation: Organisation) -> None:
    response = page.post(NEW, FIELDS, follow=True)
    assert "Test the connection now" in response.text
    row = stored()
    assert (row.kind, row.provider, row.host) == ("esp", "brevo", "")
    assert keys(organisation) == Keys(esp.KEY)
    for path in ("/en/routes/", f"/en/routes/{row.id}/", f"/en/routes/{row.id}/provider/"):
        answer = page.get(path)
        assert answer.status_code == 200
        assert esp.KEY not in answer.text


def test_what_one_provider_needs_is_not_called_optional(page: Client) -> None:
    text = page.get(NEW).text
    for name, is_said in (("provider_domain", False), ("username", False), ("signing", True)):
        label = text.partition(f'<label for="id_{name}"')[2].partition("</label>")[0]
        assert label
        assert ('class="optional"' in label) is is_said


def test_the_routes_page_says_that_the_mail_is_taken_apart(page: Client) -> None:
    page.post(NEW, FIELDS)
    assert "puts it together again" in page.get(f"/en/routes/{stored().id}/").text


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"provider": "mailgun_eu"}, "This provider needs it."),
        ({"provider": "mailjet"}, "This provider needs it."),
        ({"provider": "postmark"}, "works outside the EEA"),
        ({"provider": "mailgun_us", "provider_domain": "post.due.example"}, "outside the EEA"),
        ({"provider": "sendgrid"}, "Select a valid choice"),
        ({"secret": ""}, "This field is required"),
        ({"secret": "nøgle"}, "holds no such characters"),
        ({"secret": "a\nb"}, "holds no such characters"),
        ({"provider": "mailgun_eu", "provider_domain": "a/b@c"}, "That is not a domain"),
        ({"provider": "mailgun_eu", "provider_domain": "../../x"}, "That is not a domain"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_saved(
    page: Client, given: dict[str, Any], fault: str
) -> None:
    assert fault in page.post(NEW, FIELDS | given).text
    with build.as_owner():
        assert not Route.objects.exists()


def test_a_provider_outside_the_eea_is_an_instruction_on_record(page: Client) -> None:
    page.post(NEW, FIELDS | {"provider": "postmark", "outside_eea": "on"})
    assert stored().provider == "postmark"
    assert any(espaccounts.THIRD_COUNTRY in named for named in fields())


def test_what_a_provider_has_no_use_for_is_not_kept(page: Client) -> None:
    page.post(NEW, FIELDS | {"username": "x", "provider_domain": "due.example", "signing": "y"})
    assert (stored().username, stored().provider_domain) == ("", "")


def change(page: Client, **given: Any) -> Any:
    return page.post(f"/en/routes/{stored().id}/provider/", FIELDS | given, follow=True)


@pytest.mark.parametrize(("given", "goes"), [({"priority": 20}, True), ({"name": "x"}, False)])
def test_what_was_left_alone_goes_when_this_route_may_carry_it(
    page: Client, organisation: Organisation, given: dict[str, Any], goes: bool
) -> None:
    page.post(NEW, FIELDS)
    left_alone(organisation)
    change(page, secret="", **given)
    assert let_go(organisation) == ([(organisation.id, "resting")] if goes else [])


def test_a_kept_key_stays_and_goes_to_no_other_account(
    page: Client, organisation: Organisation
) -> None:
    page.post(NEW, FIELDS)
    change(page, secret="", name="Ny")
    assert (stored().name, keys(organisation), stored().version) == ("Ny", Keys(esp.KEY), 1)
    answer = change(page, secret="", provider="sparkpost_eu")
    assert "The kept key belongs to the account" in answer.text
    assert stored().provider == "brevo"
    change(page, secret="ny", provider="sparkpost_eu")
    assert (stored().provider, keys(organisation), stored().version) == (
        "sparkpost_eu",
        Keys("ny"),
        2,
    )


def test_the_key_for_signatures_is_kept_beside_the_other(
    page: Client, organisation: Organisation
) -> None:
    mailgun = {"provider": "mailgun_eu", "provider_domain": "post.due.example"}
    page.post(NEW, FIELDS | mailgun | {"signing": esp.SIGNING})
    assert keys(organisation) == Keys(esp.KEY, esp.SIGNING)
    change(page, **mailgun, secret="ny")
    assert keys(organisation) == Keys("ny", esp.SIGNING)
    # It is the other account's, and proves nothing about this one's reports.
    change(page, **mailgun | {"provider_domain": "anden.due.example"}, secret="anden")
    assert keys(organisation) == Keys("anden")


def test_an_own_server_is_not_changed_on_this_page(
    page: Client, organisation: Organisation
) -> None:
    with build.as_owner():
        own = Route.objects.create(
            organisation=organisation, name="x", host="mail.due.example", created_at=build.NOW
        )
    assert page.get(f"/en/routes/{own.id}/provider/").status_code == 404


def test_who_only_looks_sees_no_way_to_change(organisation: Organisation, page: Client) -> None:
    page.post(NEW, FIELDS)
    viewer = pages.member(organisation, Role.VIEWER)
    assert viewer.get(NEW).status_code == 403
    text = viewer.get(f"/en/routes/{stored().id}/").text
    assert "/provider/" not in text
    assert "/hook/" not in text


def test_every_provider_of_the_model_is_known() -> None:
    assert set(PROVIDERS) == {value for value in Route.Provider.values if value}


def test_no_provider_has_a_host_of_the_customers_choice() -> None:
    for provider in PROVIDERS.values():
        assert provider.api_url.startswith("https://")
        assert "{" not in provider.api_url


@pytest.mark.parametrize(
    ("key", "says"), [(esp.KEY, "connected and signed in"), ("forkert", "Key not found")]
)
def test_the_connection_test_asks_the_provider_and_sends_nothing(
    page: Client, settings: Any, key: str, says: str
) -> None:
    page.post(NEW, FIELDS | {"secret": key})
    with esp.Api() as api:
        settings.RELAY_ESP_URLS = api.urls
        text = page.post(f"/en/routes/{stored().id}/test/").text
    assert says in text
    assert api.ledger == []
