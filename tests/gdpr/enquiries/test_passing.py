# SPDX-License-Identifier: AGPL-3.0-or-later
"""A proven request reaches the customers concerned and nobody else; the person hears the same."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pytest

from accounts import vault
from accounts.models import Alert, AuditEvent, Organisation, OrganisationKey, Role, User
from accounts.tenancy import organisation_context
from gdpr import deadlines
from gdpr.correspondents.addresses import written
from gdpr.enquiries import forwarding, passing, watch
from gdpr.models import Enquiry, ForwardedRequest
from relay import correspondence, logfields, suppressing
from relay.models import Message, Suppression
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.enquiries.desk import (
    ERIK,
    EVERYONE,
    ask,
    ask_by,
    bare,
    forwarded,
    has_mailed,
    mails,
    owns,
    prove,
    tokens,
    work,
)

pytestmark = pytest.mark.django_db


def asked_and_proven(clock: Clock, address: str = ERIK, **changed: str) -> None:
    """A request whose answer leaves in an hour."""
    ask(address=address, **changed)
    work(clock.now)
    prove(tokens(address)[-1])


def whose() -> set[object]:
    return {row.organisation_id for row in forwarded()}


@pytest.fixture
def houses(organisation: Organisation, other_organisation: Organisation, carl: User) -> None:
    """Anna's and Carl's, both with a domain, and both have written to Erik."""
    owns(organisation, "due.example")
    owns(other_organisation, "andet.example")
    for house in (organisation, other_organisation):
        has_mailed(house, ERIK)


def test_letters_beyond_ascii_are_an_address_as_well(
    clock: Clock, organisation: Organisation
) -> None:
    has_mailed(organisation, "jørgen@modtager.example")
    asked_and_proven(clock, "Jørgen@Modtager.example", **EVERYONE)
    clock.forward(hours=1)
    work(clock.now)
    assert whose() == {organisation.id}


@pytest.mark.usefixtures("houses")
class TestWhom:
    def test_named_sender_alone_gets_it(self, clock: Clock, organisation: Organisation) -> None:
        asked_and_proven(clock, words="Alt om mig.")
        clock.forward(hours=1)
        work(clock.now)
        (row,) = forwarded()
        assert row.organisation_id == organisation.id
        with organisation_context(organisation.id):
            assert forwarding.opened(row) == forwarding.Content(ERIK, "Alt om mig.")
        assert row.rights == ["access"]

    @pytest.mark.parametrize(
        "sender", ["DUE.example", "nyt@news.due.example", "<x@due.example>", "due.example."]
    )
    def test_sender_is_found_however_written(
        self, clock: Clock, organisation: Organisation, sender: str
    ) -> None:
        ask(sender=sender.strip("<>"))
        work(clock.now)
        prove(tokens()[0])
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {organisation.id}

    def test_everyone_gets_it(
        self, clock: Clock, organisation: Organisation, other_organisation: Organisation
    ) -> None:
        asked_and_proven(clock, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {organisation.id, other_organisation.id}

    def test_sender_nobody_knows_leads_to_nobody(self, clock: Clock) -> None:
        asked_and_proven(clock, sender="ukendt.example")
        clock.forward(hours=1)
        work(clock.now)
        assert forwarded() == []
        assert len(mails("enquiry_answered")) == 1

    def test_of_several_domains_in_a_header_the_likeliest_counts(
        self, clock: Clock, organisation: Organisation
    ) -> None:
        header = "From: a@due.example\nDKIM-Signature: v=1; d=andet.example"
        asked_and_proven(clock, sender="", header=header)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {organisation.id}

    def test_mail_is_found_by_its_number(
        self, clock: Clock, other_organisation: Organisation
    ) -> None:
        with build.as_owner():
            known = logfields.header_hash(other_organisation.id, "<4711@x.example>")
            rows = Message.objects.filter(organisation=other_organisation)
            assert rows.update(header_hash=known) == 1
        header = "From: a@due.example\nMessage-ID: <4711@x.example>"
        asked_and_proven(clock, sender="", header=header)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {other_organisation.id}

    def test_address_on_a_list_alone_is_found(
        self, clock: Clock, other_organisation: Organisation
    ) -> None:
        address = "kun@liste.example"
        with build.as_owner():
            Suppression.objects.create(
                organisation=other_organisation,
                address_hash=suppressing.fingerprint(other_organisation.id, address),
                reason=Suppression.Reason.OBJECTION,
                created_at=build.NOW,
            )
        asked_and_proven(clock, address, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {other_organisation.id}

    @pytest.mark.parametrize("address", ["ERIK@Modtager.Example", ERIK])
    def test_address_is_found_in_either_case(self, clock: Clock, address: str) -> None:
        asked_and_proven(clock, address, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        assert len(forwarded()) == 2

    @pytest.mark.parametrize("address", ["erik+x@modtager.example", "erik@modtager.example.org"])
    def test_another_address_is_another_person(self, clock: Clock, address: str) -> None:
        asked_and_proven(clock, address, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        assert forwarded() == []

    @pytest.mark.parametrize("standing", ["unpaid", "suspended", "closing", "closed"])
    def test_however_an_organisation_stands(
        self, clock: Clock, organisation: Organisation, standing: str
    ) -> None:
        with build.as_owner():
            Organisation.objects.filter(pk=organisation.pk).update(standing=standing)
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {organisation.id}


def test_domain_in_either_spelling_is_one(clock: Clock, organisation: Organisation) -> None:
    has_mailed(organisation, "erik@kød.example")
    asked_and_proven(clock, "erik@xn--kd-lka.example", **EVERYONE)
    clock.forward(hours=1)
    work(clock.now)
    assert whose() == {organisation.id}


@pytest.mark.parametrize(
    ("logged", "typed"),
    [
        ('"erik"@modtager.example', ERIK),
        ("re\u0301ne@modtager.example", "r\u00e9ne@modtager.example"),
    ],
)
def test_local_part_in_any_spelling_is_one(
    organisation: Organisation, logged: str, typed: str
) -> None:
    has_mailed(organisation, logged)
    with build.as_role("duty"):
        assert correspondence.organisations_with(written(typed)) == {organisation.id}


def test_sender_of_mail_is_found_as_well(clock: Clock, organisation: Organisation) -> None:
    has_mailed(organisation, "x@y.example", sender=ERIK)
    asked_and_proven(clock, **EVERYONE)
    clock.forward(hours=1)
    work(clock.now)
    assert whose() == {organisation.id}


def test_nearest_proven_domain_counts(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    owns(organisation, "due.example")
    owns(other_organisation, "news.due.example")
    with build.as_role("duty"):
        found = correspondence.organisation_of_domain("x.news.due.example")
        assert found == other_organisation.id
        assert correspondence.organisation_of_domain("xdue.example") is None


@pytest.mark.usefixtures("houses")
class TestAnswer:
    def test_known_and_unknown_hear_the_same_at_the_same_time(self, clock: Clock) -> None:
        addresses = (ERIK, "ukendt@modtager.example", "anna@due.example")
        clock.forward(minutes=7)
        for address in addresses:
            asked_and_proven(clock, address, **EVERYONE)
        clock.forward(minutes=52, seconds=59)
        work(clock.now)
        assert mails("enquiry_answered") == []
        clock.forward(seconds=1)
        work(clock.now)
        letters = [[mail for mail in mails("enquiry") if mail["to"] == to] for to in addresses]
        assert [len(each) for each in letters] == [2, 2, 2]
        with build.as_owner():
            own = Enquiry.objects.count()
        assert own == len(addresses)
        for part in ("subject", "text", "html"):
            for number in (0, 1):
                assert len({bare(each[number][part]) for each in letters}) == 1

    def test_answers_are_written_before_anything_is_looked_up(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for address in (ERIK, "ukendt@modtager.example"):
            asked_and_proven(clock, address, **EVERYONE)
        written: list[int] = []
        look = correspondence.organisations_with

        def looking(spellings: Collection[str]) -> set[UUID]:
            written.append(len(mails("enquiry_answered")))
            return look(spellings)

        monkeypatch.setattr(correspondence, "organisations_with", looking)
        clock.forward(hours=1)
        work(clock.now)
        assert written == [2, 2]

    def test_it_names_no_customer_and_no_word_of_the_asker(self, clock: Clock) -> None:
        asked_and_proven(clock, words="Besøg http://svindel.example nu")
        clock.forward(hours=1)
        work(clock.now)
        letters = [mail for mail in mails("enquiry") if mail["to"] == ERIK]
        assert len(letters) == 2
        for letter in letters:
            said = letter["text"] + letter["html"] + letter["subject"]
            for word in ("Duehuset", "due.example", "svindel"):
                assert word not in said.replace("brevdue.example", "")

    def test_it_is_written_once_however_often_the_worker_runs(self, clock: Clock) -> None:
        asked_and_proven(clock)
        clock.forward(hours=1)
        for _ in range(3):
            work(clock.now)
        assert len(mails("enquiry_answered")) == len(forwarded()) == 1


class TestLinks:
    def test_address_gets_so_many_a_day_and_the_rest_later(self, clock: Clock) -> None:
        for number in range(6):
            ask(network=f"198.51.100.{number}")
        work(clock.now)
        assert len(tokens()) == passing.MAILS_A_DAY
        clock.forward(hours=23)
        work(clock.now)
        assert len(tokens()) == passing.MAILS_A_DAY
        clock.forward(hours=1)
        work(clock.now)
        assert len(tokens()) == 6

    def test_flood_leaves_the_owner_a_way_to_ask(
        self, clock: Clock, organisation: Organisation
    ) -> None:
        """All links of the day are for others' requests; each is good for the owner's own."""
        owns(organisation, "due.example")
        for number in range(9):
            ask(network=f"198.51.100.{number}", sender="andet.example")
        work(clock.now)
        ask(network="203.0.113.5", words="Slet mig.")
        work(clock.now)
        links = tokens()
        assert len(links) == passing.MAILS_A_DAY
        for number, link in enumerate(links):
            own = ask_by(link, words=f"Slet mig {number}.")
            assert "The address is proven" in own.text
        clock.forward(hours=1)
        work(clock.now)
        assert [row.organisation_id for row in forwarded()] == [organisation.id] * len(links)
        assert len(mails("enquiry_answered")) == len(links)
        assert len(tokens()) == passing.MAILS_A_DAY

    def test_another_address_is_not_kept_waiting(self, clock: Clock) -> None:
        for number in range(6):
            ask(network=f"198.51.100.{number}")
        ask(network="203.0.113.5", address="gitte@modtager.example")
        work(clock.now)
        assert len(tokens("gitte@modtager.example")) == 1

    def test_row_that_cannot_be_opened_stops_nobody(self, clock: Clock) -> None:
        ask()
        with build.as_owner():
            Enquiry.objects.update(sealed=b"junk")
        clock.forward(seconds=1)
        ask(network="198.51.100.9", address="gitte@modtager.example")
        work(clock.now)
        assert tokens("gitte@modtager.example")
        with build.as_owner():
            assert Enquiry.objects.get(sealed=b"junk").due_at == clock.now + passing.AGAIN_AFTER


@pytest.mark.usefixtures("houses")
class TestForwarded:
    def test_clock_counts_from_the_receipt(self, clock: Clock) -> None:
        received_at = clock.now
        ask()
        work(clock.now)
        clock.forward(days=2)
        prove(tokens()[0])
        clock.forward(hours=1)
        work(clock.now)
        (row,) = forwarded()
        assert row.received_at == received_at
        counted = deadlines.clock(received_at, clock.now)
        assert (row.promised_on, row.due_on) == (counted.promised_on, counted.due_on)

    def test_owners_and_privacy_people_are_told_and_not_of_whom(
        self, clock: Clock, organisation: Organisation, bo: User
    ) -> None:
        pia = build.person("Pia", "Privat")
        build.member(organisation, pia, Role.PRIVACY)
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        letters = mails("request_forwarded")
        assert {mail["to"] for mail in letters} == {"anna@due.example", "pia@privat.example"}
        for letter in letters:
            assert "erik" not in (letter["text"] + letter["html"]).lower()

    def test_nobody_left_to_tell_is_told_staff(
        self, clock: Clock, organisation: Organisation, anna: User
    ) -> None:
        with build.as_owner():
            anna.memberships.all().delete()
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        with build.as_owner():
            alert = Alert.objects.get(kind=forwarding.UNHEARD)
        assert alert.subject == str(forwarded()[0].id)

    def test_content_is_gone_from_the_enquiry(self, clock: Clock) -> None:
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        with build.as_owner():
            row = Enquiry.objects.get()
        assert row.sealed is None
        assert row.forwarded_at == clock.now

    def test_same_words_again_are_passed_on_once(self, clock: Clock) -> None:
        for words in ("Slet mig.", "Slet mig.", "Slet mig nu!"):
            ask(network=f"198.51.100.{len(words)}", words=words)
        work(clock.now)
        for token in tokens():
            prove(token)
        clock.forward(hours=1)
        work(clock.now)
        assert len(tokens()) == 3
        assert len(forwarded()) == 2

    def test_audit_trail_of_the_organisation_has_it(
        self, clock: Clock, organisation: Organisation
    ) -> None:
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        with build.as_owner():
            event = AuditEvent.objects.get(action="forwarded.received")
        assert event.organisation_id == organisation.id
        assert event.actor_id is None

    def test_one_that_cannot_be_passed_on_stops_nobody_and_is_alarmed(
        self, clock: Clock, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked_and_proven(clock)
        clock.forward(seconds=1)
        asked_and_proven(clock, "gitte@modtager.example", sender="andet.example")
        forward = forwarding.forward

        def failing(row: object, asked: object, organisation_id: object, now: object) -> None:
            if organisation_id == organisation.id:
                raise vault.VaultError("no key")
            forward(row, asked, organisation_id, now)  # type: ignore[arg-type] # as given

        monkeypatch.setattr(forwarding, "forward", failing)
        clock.forward(hours=1)
        work(clock.now)
        assert len(forwarded()) == 1
        clock.forward(minutes=15)
        work(clock.now)
        with build.as_owner():
            alert = Alert.objects.get(kind=watch.LATE)
            late = Enquiry.objects.get(forwarded_at=None)
        assert alert.subject == str(late.id)
        monkeypatch.undo()
        monkeypatch.setattr("accounts.clock.now", clock)
        clock.forward(hours=1)
        work(clock.now)
        with build.as_owner():
            assert Alert.objects.get(kind=watch.LATE).resolved_at
        assert len(forwarded()) == 2

    def test_one_customer_who_cannot_get_it_keeps_it_from_no_other(
        self, clock: Clock, organisation: Organisation, other_organisation: Organisation
    ) -> None:
        with build.as_owner():
            key = OrganisationKey.objects.get(organisation=organisation)
            OrganisationKey.objects.filter(pk=key.pk).update(sealed=b"junk")
        asked_and_proven(clock, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {other_organisation.id}
        with build.as_owner():
            assert Enquiry.objects.get().forwarded_at is None
            # Who has it has answered before the next try: it does not come again.
            ForwardedRequest.objects.update(state="answered", closed_at=clock.now)
            key.save()
        clock.forward(hours=1)
        work(clock.now)
        assert whose() == {organisation.id, other_organisation.id}
        assert len(forwarded()) == 2
        with build.as_owner():
            assert Enquiry.objects.get().forwarded_at == clock.now

    def test_whose_account_is_restricted_is_not_told(
        self, clock: Clock, organisation: Organisation, anna: User
    ) -> None:
        with build.as_owner():
            User.objects.filter(pk=anna.pk).update(restricted_at=clock.now)
        asked_and_proven(clock)
        clock.forward(hours=1)
        work(clock.now)
        assert mails("request_forwarded") == []
        with build.as_owner():
            assert Alert.objects.filter(kind=forwarding.UNHEARD).exists()

    def test_finder_of_the_inventory_finds_them(self, clock: Clock) -> None:
        asked_and_proven(clock, **EVERYONE)
        clock.forward(hours=1)
        work(clock.now)
        with build.as_role("duty"):
            assert len(forwarding.rows_of("ERIK@modtager.example")) == 2
            assert forwarding.rows_of("gitte@modtager.example") == []
