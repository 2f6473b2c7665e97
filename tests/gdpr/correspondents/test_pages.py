# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages: find, give out, erase, send no mail; for whom, in which standing, of whose mail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Membership, Organisation, Role, User
from accounts.tenancy import organisation_context
from gdpr.correspondents import packing, run, subject
from gdpr.models import AddressErasure, AddressPackage
from gdpr.views.correspondents import sealed
from relay.models import QueuedDelivery, Suppression
from tests import build
from tests.accounts.visiting import at, leads_to, prove, visit
from tests.gdpr.correspondents import seeds
from tests.gdpr.correspondents.conftest import ERIK
from tests.twice import twice

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna(house: Organisation) -> User:
    person = build.person("Anna", "Due")
    build.member(house, person, Role.OWNER)
    return person


@pytest.fixture
def here(house: Organisation, anna: User) -> Client:
    client = visit(anna, house)
    prove(client)
    return client


def _page(name: str, house: Organisation, address: str = ERIK) -> str:
    return at(f"gdpr:{name}", _sealed(house, address))


def _sealed(house: Organisation, address: str) -> str:
    with organisation_context(house.id):
        return sealed(house.id, address)


def _acts() -> list[str]:
    with build.as_owner():
        events = AuditEvent.objects.filter(target_type__startswith="gdpr.Address")
        return [event.action for event in events.order_by("sequence")]


def test_search_is_posted_and_its_address_stands_nowhere_in_clear(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    answer = here.post(at("gdpr:correspondents"), {"address": "Erik@Modtager.example"})
    assert answer.status_code == 302
    assert "modtager" not in answer.headers["Location"]
    page = here.get(answer.headers["Location"])
    assert "erik@" in page.text
    assert at("gdpr:correspondents") in page.text


def test_wrong_address_is_told_at_its_field(here: Client) -> None:
    page = here.post(at("gdpr:correspondents"), {"address": "erik"})
    assert "aria-invalid" in page.text


def test_page_shows_what_there_is_in_the_own_organisation_alone(
    here: Client, house: Organisation, neighbour: Organisation, earlier: datetime
) -> None:
    for _ in range(3):
        seeds.mail(neighbour, earlier, ERIK, sender="hemmelig@nabo.example")
    seeds.suppressed(neighbour, ERIK, earlier)
    page = here.get(_page("correspondent", house))
    assert "You have nothing of this address here." in page.text
    seeds.mail(house, earlier, ERIK)
    page = here.get(_page("correspondent", house))
    assert "nabo.example" not in page.text
    assert page.text.count("<dd>1</dd>") == 1
    assert "not on it" in page.text


def test_waiting_mail_and_the_list_are_shown(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK, waits=True)
    seeds.suppressed(house, ERIK, earlier)
    page = here.get(_page("correspondent", house)).text
    assert "The address does not exist" in page


@pytest.mark.parametrize("standing", ["suspended", "unpaid", "closing"])
def test_works_in_every_standing(
    here: Client, house: Organisation, earlier: datetime, standing: str
) -> None:
    with build.as_owner():
        Organisation.objects.filter(pk=house.pk).update(standing=standing)
    seeds.mail(house, earlier, ERIK)
    assert here.get(_page("correspondent", house)).status_code == 200
    assert here.post(_page("correspondent-erase", house)).status_code == 302
    assert here.post(_page("correspondent-export", house)).status_code == 302
    with build.as_role("duty"):
        erasure = AddressErasure.objects.get()
        assert packing.pack_due() == 1
        assert run.carry_out(erasure.pk, erasure.asked_at)


@pytest.mark.parametrize("name", ["correspondent-export", "correspondent-erase"])
def test_export_and_erasure_ask_who_it_is(
    house: Organisation, anna: User, name: str, earlier: datetime
) -> None:
    client = visit(anna, house)
    for answer in (client.get(_page(name, house)), client.post(_page(name, house))):
        assert leads_to(answer, "accounts:step-up")
    with build.as_owner():
        assert not AddressErasure.objects.exists()
        assert not AddressPackage.objects.exists()


def test_choice_about_waiting_mail_is_asked_for(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    assert 'name="waiting"' not in here.get(_page("correspondent-erase", house)).text
    seeds.mail(house, earlier, ERIK, waits=True)
    assert 'name="waiting"' in here.get(_page("correspondent-erase", house)).text
    assert here.post(_page("correspondent-erase", house)).status_code == 200
    assert here.post(_page("correspondent-erase", house), {"waiting": "cancel"}).status_code == 302
    with build.as_owner():
        assert AddressErasure.objects.get().waiting == AddressErasure.Waiting.CANCEL


def test_address_that_is_being_erased_is_not_erased_twice(
    here: Client, house: Organisation
) -> None:
    here.post(_page("correspondent-erase", house))
    page = here.post(_page("correspondent-erase", house, '"erik"@modtager.example'))
    assert "being erased already" in page.text
    with build.as_owner():
        assert AddressErasure.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_order_one_erasure(house: Organisation, anna: User, now: datetime) -> None:
    with organisation_context(house.pk, person_id=anna.pk):
        by = Membership.objects.select_related("user").get()

    def order() -> object:
        with organisation_context(house.pk, person_id=anna.pk):
            return type(run.ask(ERIK, AddressErasure.Waiting.CANCEL, by=by, now=now))

    first, second = twice(order, subject, "seal")
    assert first is AddressErasure
    assert isinstance(second, run.AlreadyRunning)


def test_from_the_order_to_the_certificate(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    answer = here.post(_page("correspondent-erase", house))
    with build.as_role("duty"):
        erasure = AddressErasure.objects.get()
        where = at("gdpr:correspondent-erasure", erasure.pk)
        assert answer.headers["Location"] == where
    assert "hx-get" in here.get(where).text
    assert here.get(at("gdpr:correspondent-certificate", erasure.pk)).status_code == 404
    with build.as_role("duty"):
        assert run.carry_out(erasure.pk, erasure.asked_at)
    page = here.get(where).text
    assert "hx-get" not in page
    assert "Log: recipients of mails" in page
    paper = here.get(at("gdpr:correspondent-certificate", erasure.pk))
    assert paper.content.startswith(b"%PDF-")
    assert _acts() == ["addresserasure.requested", "addresserasure.ended"]


def test_from_the_order_to_the_package(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    here.post(_page("correspondent-export", house))
    with build.as_role("duty"):
        assert packing.pack_due() == 1
        package = AddressPackage.objects.get()
    answer: Any = here.get(at("gdpr:correspondent-package", package.pk))
    assert b"".join(answer.streaming_content)[:2] == b"PK"
    assert answer.headers["Content-Length"] == str(package.size)
    here.post(at("gdpr:correspondent-package-end", package.pk))
    assert leads_to(here.get(at("gdpr:correspondent-package", package.pk)), "gdpr:correspondents")
    assert _acts() == [
        "addresspackage.requested",
        "addresspackage.made",
        "addresspackage.downloaded",
    ]


def test_no_trail_and_no_row_has_the_address(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    here.post(_page("correspondent-erase", house))
    here.post(_page("correspondent-export", house))
    with build.as_owner():
        rows: list[Any] = [*AuditEvent.objects.values(), *AddressErasure.objects.values()]
        rows += AddressPackage.objects.values()
    assert "modtager" not in str(rows)


def test_address_gets_no_mail(here: Client, house: Organisation, earlier: datetime) -> None:
    seeds.mail(house, earlier, ERIK, waits=True)
    answer = here.post(_page("correspondent-suppress", house), {"reason": "objection"})
    assert answer.status_code == 302
    with build.as_owner():
        assert Suppression.objects.get().reason == Suppression.Reason.OBJECTION
        assert QueuedDelivery.objects.exists(), "what waits is cancelled by a task"


def test_restricted_address_is_told_and_erased_all_the_same(
    here: Client, house: Organisation, earlier: datetime
) -> None:
    seeds.mail(house, earlier, ERIK)
    answer = here.post(_page("correspondent-restrict", house), {"ground": "accuracy"})
    assert leads_to(answer, "gdpr:correspondent", _sealed_in(answer))
    page = here.get(_page("correspondent", house)).text
    assert "Its use is restricted" in page
    assert "/restrict/" not in page
    assert here.post(_page("correspondent-erase", house)).status_code == 302
    with build.as_role("duty"):
        erasure = AddressErasure.objects.get()
        assert run.carry_out(erasure.pk, erasure.asked_at)
        erasure.refresh_from_db()
    assert erasure.report["tally"]["changed"] == {"relay.Delivery": 1, "relay.Restriction": 1}
    assert "Its use is restricted" in here.get(_page("correspondent", house)).text


def _sealed_in(answer: Any) -> str:
    return str(answer.headers["Location"]).rstrip("/").rpartition("/")[2]


def test_request_that_was_passed_on_leads_to_the_tools(here: Client, house: Organisation) -> None:
    with build.as_owner():
        asked = build.forwarded_to(house)
    page = here.get(at("gdpr:inbox-request", asked.pk)).text
    assert at("gdpr:correspondents") in page


def test_privacy_people_open_it_and_are_led_to_no_page_that_they_may_not(
    house: Organisation, anna: User, earlier: datetime
) -> None:
    person = build.person("Pia", "Privat")
    build.member(house, person, Role.PRIVACY)
    seeds.mail(house, earlier, ERIK)
    page = visit(person, house).get(_page("correspondent", house))
    assert page.status_code == 200
    assert "/log/" not in page.text
    assert "/log/" in visit(anna, house).get(_page("correspondent", house)).text


def test_address_of_a_page_is_good_in_its_organisation_alone(
    house: Organisation, neighbour: Organisation, anna: User
) -> None:
    build.member(neighbour, anna, Role.OWNER)
    client = visit(anna, neighbour)
    prove(client)
    for name in ("correspondent", "correspondent-erase", "correspondent-export"):
        assert client.get(_page(name, house)).status_code == 404
        assert client.post(_page(name, house)).status_code in (404, 405)
