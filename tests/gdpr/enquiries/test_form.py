# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public form keeps one sealed row and says the same to all; the link proves an address."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override

from accounts import limits
from accounts.models import Organisation
from gdpr.enquiries import asking, proving
from gdpr.models import Enquiry
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to
from tests.gdpr.enquiries.desk import ERIK, ask, ask_by, has_mailed, mails, prove, tokens, work

pytestmark = pytest.mark.django_db


def rows() -> list[Enquiry]:
    with build.as_owner():
        return list(Enquiry.objects.order_by("received_at"))


def test_what_is_asked_is_kept_sealed(clock: Clock) -> None:
    assert leads_to(ask(words="Slet mig."), "gdpr:enquiry-sent")
    (row,) = rows()
    assert row.received_at == row.due_at == clock.now
    assert row.sealed
    for part in (b"erik", b"modtager", b"Slet", b"due.example"):
        assert part not in bytes(row.sealed)
    asked = asking.opened(row.id, row.sealed)
    assert (asked.address, asked.words, asked.language) == (ERIK, "Slet mig.", "en")
    assert asked.named.domains == ("due.example",)


def test_pasted_header_is_not_kept(clock: Clock) -> None:
    header = "From: Butik <nyt@due.example>\nSubject: Hemmeligt\nTo: gitte@tredje.example"
    ask(sender="", header=header)
    (row,) = rows()
    assert row.sealed
    assert "Hemmeligt" not in repr(asking.opened(row.id, row.sealed))
    assert asking.opened(row.id, row.sealed).named.domains == ("due.example",)


def test_form_is_there_in_both_languages() -> None:
    for language, words in (("da", "Spørg om dine data"), ("en", "Ask about your data")):
        with override(language):
            answer = Client().get(f"{'' if language == 'da' else '/en'}/privacy/request/")
        assert answer.status_code == 200
        assert words in answer.text


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"address": ""}, "address"),
        ({"address": "erik"}, "address"),
        ({"address": "erik@modtager.example\r\nBcc: x@y.example"}, "address"),
        ({"rights": []}, "rights"),
        ({"rights": ["review"]}, "rights"),
        ({"whom": ""}, "whom"),
        ({"sender": ""}, "sender"),
        ({"sender": "not a domain"}, "sender"),
        ({"whom": "everyone"}, "agreed"),
        ({"words": "x" * 3000}, "words"),
    ],
)
def test_what_is_missing_is_said_beside_its_field(changed: dict[str, str], field: str) -> None:
    answer = ask(**changed)
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == [field]
    assert rows() == []


def test_page_and_work_are_the_same_for_a_known_address(organisation: Organisation) -> None:
    has_mailed(organisation, ERIK)
    seen = []
    for address in (ERIK, "ukendt@modtager.example", "anna@due.example"):
        with CaptureQueriesContext(connection) as queries:
            answer = ask(address=address)
        statements = [re.sub(r"'[^']*'|\d+", "?", one["sql"]) for one in queries]
        seen.append((answer.status_code, answer.headers["Location"], statements))
    assert seen[0] == seen[1] == seen[2]
    assert mails() == []


def test_flood_from_a_network_is_dropped_and_told_the_same() -> None:
    answers = [ask(address=f"a{number}@modtager.example") for number in range(30)]
    assert {answer.headers["Location"] for answer in answers} == {at("gdpr:enquiry-sent")}
    assert len(rows()) == asking.FROM_NETWORK.windows[0][0]
    ask(network="198.51.100.9", address="gitte@modtager.example")
    assert len(rows()) == asking.FROM_NETWORK.windows[0][0] + 1


def test_one_network_does_not_use_up_an_address() -> None:
    for _ in range(10):
        ask(network="192.0.2.7")
    ask(network="198.51.100.9")
    assert len(rows()) == asking.ABOUT_ADDRESS.windows[0][0] + 1


def test_limits_hold_without_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits._without_redis, "until", float("inf"))
    for _ in range(30):
        assert leads_to(ask(), "gdpr:enquiry-sent")
    assert len(rows()) == 1


class TestLink:
    def test_reading_changes_nothing_and_the_button_does(self, clock: Clock) -> None:
        ask(words="<b>Hej</b>\r\nBcc: x")
        work(clock.now)
        (token,) = tokens()
        for method in ("get", "head"):
            answer = getattr(Client(), method)(at("gdpr:enquiry-confirm", token))
            assert answer.status_code == 200
        assert rows()[0].proven_at is None
        text = Client().get(at("gdpr:enquiry-confirm", token)).text
        assert "&lt;b&gt;Hej&lt;/b&gt;" in text
        assert ERIK in text
        assert leads_to(prove(token), "gdpr:enquiry-confirm", token)
        assert rows()[0].proven_at == clock.now
        assert "The address is proven" in Client().get(at("gdpr:enquiry-confirm", token)).text

    def test_saying_yes_twice_is_once(self, clock: Clock) -> None:
        ask()
        work(clock.now)
        (token,) = tokens()
        prove(token)
        first = rows()[0]
        clock.forward(minutes=30)
        assert leads_to(prove(token), "gdpr:enquiry-confirm", token)
        assert (rows()[0].proven_at, rows()[0].due_at) == (first.proven_at, first.due_at)

    def test_link_ends_before_the_row_does(self, clock: Clock) -> None:
        ask()
        work(clock.now)
        (token,) = tokens()
        clock.forward(seconds=proving.LINK_LIFETIME.total_seconds())
        for answer in (Client().get(at("gdpr:enquiry-confirm", token)), prove(token)):
            assert answer.status_code == 404
        assert rows()[0].proven_at is None

    def test_link_of_a_row_that_is_gone_opens_nothing(self, clock: Clock) -> None:
        ask()
        work(clock.now)
        (token,) = tokens()
        with build.as_owner():
            Enquiry.objects.all().delete()
        for answer in (Client().get(at("gdpr:enquiry-confirm", token)), prove(token)):
            assert answer.status_code == 404

    def test_number_of_a_row_is_no_proof_before_its_mail(self, clock: Clock) -> None:
        ask()
        token = proving.token(rows()[0].id, clock.now)
        assert prove(token).status_code == 404
        assert rows()[0].proven_at is None

    def test_its_owner_asks_about_its_address_alone(self, clock: Clock) -> None:
        ask()
        work(clock.now)
        clock.forward(minutes=5)
        ask_by(tokens()[0], address="gitte@modtager.example", words="Slet mig.")
        first, own = rows()
        assert own.sealed
        asked = asking.opened(own.id, own.sealed)
        assert (asked.address, asked.words) == (ERIK, "Slet mig.")
        assert (own.received_at, own.proven_at) == (clock.now, clock.now)
        assert own.due_at == proving.answer_at(clock.now)
        assert first.proven_at is None
        work(clock.now)
        assert len(tokens()) == 1

    def test_page_to_ask_by_it_is_as_dead_as_the_link(self, clock: Clock) -> None:
        ask()
        assert ask_by(proving.token(rows()[0].id, clock.now)).status_code == 404
        work(clock.now)
        (token,) = tokens()
        assert ask_by(token, rights=[]).context["form"].errors
        with build.as_owner():
            Enquiry.objects.update(sealed=None)
        assert ask_by(token).status_code == 404
        clock.forward(seconds=proving.LINK_LIFETIME.total_seconds())
        assert ask_by(token).status_code == 404
        assert len(rows()) == 1

    def test_so_much_is_asked_by_it_in_a_day(self, clock: Clock) -> None:
        ask()
        work(clock.now)
        (token,) = tokens()
        most = asking.BY_LINK.windows[0][0]
        assert [ask_by(token).status_code for _ in range(most + 1)] == [200] * most + [429]
        assert len(rows()) == most + 1

    @pytest.mark.parametrize("minutes", [0, 1, 59])
    def test_answer_leaves_at_the_next_full_hour(self, minutes: int) -> None:
        assert build.NOW.minute == 0
        assert proving.answer_at(build.NOW + timedelta(minutes=minutes)) == build.NOW + timedelta(
            hours=1
        )


def test_portal_can_neither_read_nor_change_an_enquiry(clock: Clock) -> None:
    ask()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege('web', 'gdpr_enquiry', 'SELECT, UPDATE, DELETE'),"
            " has_table_privilege('web', 'gdpr_enquiry', 'INSERT')"
        )
        assert cursor.fetchone() == (False, True)
