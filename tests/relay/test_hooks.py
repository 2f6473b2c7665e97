# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where providers report: the secret in the address, what is kept, and what is answered."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.limits import MINUTE, Limit
from accounts.models import AuditEvent, Organisation, User
from accounts.tenancy import organisation_context
from relay import espaccounts, espinbox
from relay.esp import events
from relay.esp.providers import Keys
from relay.models import EspEvent, Route
from relay.routing import seal_secret
from tests import build
from tests.relay import pages
from tests.testbed import esp, espevents

pytestmark = pytest.mark.django_db

TOKEN = "b" + "a7" * 23 + "k"
ERIK = "erik@modtager.example"
MADE = "x" * espaccounts.HOOK_LENGTH


def esp_route(organisation: Organisation, provider: str = "postmark", **fields: Any) -> Route:
    keys = Keys(esp.KEY, esp.SIGNING if provider.startswith("mailgun") else "")
    with organisation_context(organisation.id):
        sealed = seal_secret(organisation.id, keys.joined())
    values: dict[str, Any] = {
        "name": "Udbyder",
        "kind": Route.Kind.ESP,
        "provider": provider,
        "sealed_secret": sealed,
        "created_at": build.NOW,
        "hook_hash": espaccounts.hook_hash(MADE),
    }
    with build.as_owner():
        return Route.objects.create(organisation=organisation, **values | fields)


def report(made: str = MADE, kind: str = "hard", provider: str = "postmark", **more: Any) -> Any:
    content_type, body = espevents.events(provider, kind, TOKEN, ERIK, "550 5.1.1 no such user")
    return Client().post(f"/hooks/esp/{made}/", body, content_type=content_type, **more)


def kept() -> list[EspEvent]:
    with build.as_owner():
        return list(EspEvent.objects.order_by("received_at", "id"))


@pytest.mark.parametrize("provider", esp.NAMES)
def test_a_report_is_kept_sealed_and_opens_to_what_it_said(
    organisation: Organisation, provider: str
) -> None:
    route = esp_route(organisation, provider)
    assert report(provider=provider).status_code == 200
    (row,) = kept()
    assert (row.route_id, row.organisation_id) == (route.id, organisation.id)
    assert ERIK.encode() not in bytes(row.sealed)
    with organisation_context(organisation.id):
        (event,) = events.unseal(bytes(row.sealed), organisation.id)
    assert (event.token, event.recipient, event.kind) == (TOKEN, ERIK, "failed")
    assert (event.code, event.enhanced) == (550, "5.1.1")


@pytest.mark.parametrize("made", ["y" * 43, "x" * 42, "x" * 44, "x", MADE.upper()])
def test_an_unknown_address_is_no_page_and_keeps_nothing(
    organisation: Organisation, made: str
) -> None:
    esp_route(organisation)
    assert report(made).status_code == 404
    assert kept() == []


def test_an_address_leads_to_its_own_organisation_alone(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    esp_route(organisation)
    esp_route(other_organisation, hook_hash=espaccounts.hook_hash("z" * 43))
    report("z" * 43)
    assert [row.organisation_id for row in kept()] == [other_organisation.id]


def test_what_people_do_is_answered_and_not_kept(organisation: Organisation) -> None:
    esp_route(organisation)
    assert report(kind="open").status_code == 200
    assert kept() == []


def test_a_false_signature_is_refused(organisation: Organisation) -> None:
    esp_route(organisation, "mailgun_eu")
    kind, body = espevents.events("mailgun_eu", "hard", TOKEN, ERIK)
    told = json.loads(body)
    told["signature"]["signature"] = "0" * 64
    path = f"/hooks/esp/{MADE}/"
    assert Client().post(path, json.dumps(told), content_type=kind).status_code == 403
    assert kept() == []


@pytest.mark.parametrize(("body", "status"), [(b"x", 400), (b"x" * (espinbox.LARGEST + 1), 413)])
def test_what_is_no_report_is_refused(organisation: Organisation, body: bytes, status: int) -> None:
    esp_route(organisation)
    answer = Client().post(f"/hooks/esp/{MADE}/", body, content_type="application/json")
    assert answer.status_code == status


def test_who_asks_whether_anybody_is_there_is_told(organisation: Organisation) -> None:
    esp_route(organisation)
    assert Client().head(f"/hooks/esp/{MADE}/").status_code == 200
    assert Client().get(f"/hooks/esp/{MADE}/").status_code == 405
    assert Client().head(f"/hooks/esp/{'y' * 43}/").status_code == 404


def test_too_many_reports_are_asked_to_come_later(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(espinbox, "REPORTS", Limit("esp-reports", ((2, MINUTE),)))
    esp_route(organisation)
    answers = [report() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["Retry-After"]) > 0
    assert len(kept()) == 2


def test_the_portal_may_keep_reports_and_read_none(organisation: Organisation) -> None:
    esp_route(organisation)
    report()
    with organisation_context(organisation.id), connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('relay_espevent', 'SELECT')")
        assert cursor.fetchone() == (False,)


def test_that_a_provider_reports_is_written_now_and_then(organisation: Organisation) -> None:
    route = esp_route(organisation)
    report()
    with build.as_owner():
        seen = Route.objects.get(pk=route.pk).hook_seen_at
        assert seen is not None
        Route.objects.update(hook_seen_at=seen - timedelta(minutes=1))
    report()
    with build.as_owner():
        assert Route.objects.get(pk=route.pk).hook_seen_at == seen - timedelta(minutes=1)


def test_neither_secret_nor_address_reaches_a_log(
    organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    esp_route(organisation)
    with caplog.at_level(logging.DEBUG):
        report("y" * 43)
        report()
        Client().post(f"/hooks/esp/{MADE}/", b"x", content_type="application/json")
    assert not any(word in caplog.text for word in (MADE, "y" * 43, ERIK, TOKEN))


# Making the address


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def made_at(response: Any) -> str:
    return str(response.text.partition("/hooks/esp/")[2].partition("/")[0])


def test_the_address_is_shown_once_and_the_one_before_it_counts_no_more(
    page: Client, organisation: Organisation
) -> None:
    route = esp_route(organisation)
    response = page.post(f"/en/routes/{route.id}/hook/")
    made = made_at(response)
    assert len(made) == espaccounts.HOOK_LENGTH
    assert response.headers["Cache-Control"].startswith("max-age=0")
    assert made not in page.get(f"/en/routes/{route.id}/").text
    assert report().status_code == 404
    assert report(made).status_code == 200
    with build.as_owner():
        acts = list(AuditEvent.objects.values_list("action", flat=True))
    assert "route.hook-renewed" in acts


def test_only_a_route_through_a_provider_has_one(page: Client, organisation: Organisation) -> None:
    with build.as_owner():
        own = Route.objects.create(
            organisation=organisation, name="x", host="mail.due.example", created_at=build.NOW
        )
    assert page.post(f"/en/routes/{own.id}/hook/").status_code == 404


def test_another_organisations_route_is_no_page(
    page: Client, other_organisation: Organisation
) -> None:
    route = esp_route(other_organisation)
    assert page.post(f"/en/routes/{route.id}/hook/").status_code == 404
