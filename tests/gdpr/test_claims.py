# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nobody's request until it is proven whose: entered by staff, proven by evidence or by mail."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client

from accounts import links, vault
from accounts.links import LinkInvalid
from accounts.models import Alert, OutgoingMail, User
from accounts.tenancy import person_context
from gdpr import claims, deciding, escalation, intake, requests
from gdpr.models import (
    Claim,
    Package,
    PersonRestriction,
    Request,
    RequestedRight,
    Right,
    Step,
)
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, visit
from tests.gdpr.desk import at_the_desk, entered, fresh, only_right, round_of_the_worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

State = RequestedRight.State
DAY = timedelta(days=1)
HOW = "She read out the number of her last mail."


def prove(staff: User, request: Request, **fields: Any) -> None:
    with at_the_desk(staff):
        claims.prove_by_evidence(request, fields.get("how", HOW), staff, build.NOW)


def mailed_link(staff: User, request: Request) -> str:
    """The token that the mail to the address on file carries."""
    with at_the_desk(staff):
        claims.ask_by_link(request, staff, build.NOW)
    (letter,) = mails("gdpr/identity_asked")
    found = re.search(r"/privacy/identity/([\w-]+)/", letter["text"])
    assert found
    return found[1]


def mails(kind: str) -> list[dict[str, str]]:
    with build.as_owner():
        rows = list(OutgoingMail.objects.filter(kind=kind))
    return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


class TestEntering:
    def test_clock_counts_from_the_receipt(self, dorte: User, anna: User) -> None:
        request = entered(dorte, Right.OBJECTION, received_at=build.NOW - 9 * DAY)
        row = only_right(request)
        assert (row.promised_on - build.NOW.date()).days == 21
        with build.as_owner():
            step = row.steps.get(kind=Step.Kind.RECEIVED)
        assert (step.at, step.by) == (build.NOW, "staff")

    def test_time_in_the_future_is_refused(self, dorte: User) -> None:
        with pytest.raises(intake.NotYetReceived):
            entered(dorte, received_at=build.NOW + timedelta(minutes=1))

    def test_it_has_no_person_and_its_rights_wait(self, dorte: User, anna: User) -> None:
        request = entered(dorte, Right.ACCESS, Right.ERASURE)
        with build.as_owner():
            assert (request.person_id, request.proven_at) == (None, None)
            assert set(request.rights.values_list("state", flat=True)) == {State.IDENTITY}
            assert Claim.objects.get().claimant_id == anna.pk

    def test_account_is_found_by_the_exact_address_or_not_at_all(
        self, dorte: User, anna: User
    ) -> None:
        for address in ("anna+x@due.example", "anna@due.exampl", "", "anna@due.example.org"):
            request = entered(dorte, address=address)
            with build.as_owner():
                assert Claim.objects.get(pk=request.pk).claimant_id is None, address
        request = entered(dorte, address=" Anna@Due.EXAMPLE ")
        with build.as_owner():
            assert Claim.objects.get(pk=request.pk).claimant_id == anna.pk

    def test_contact_is_sealed(self, dorte: User, anna: User) -> None:
        request = entered(dorte)
        with build.as_owner():
            claim = Claim.objects.get(pk=request.pk)
        assert b"Anna" not in bytes(claim.sealed)
        assert claims.contact(claim) == "anna@due.example\nAnna Due, by phone"

    def test_database_gives_a_person_to_no_unproven_request(self, anna: User, dorte: User) -> None:
        request = entered(dorte)
        with build.as_owner(), pytest.raises(IntegrityError), transaction.atomic():
            Request.objects.filter(pk=request.pk).update(person=anna)

    def test_person_sees_nothing_of_it(self, anna: User, dorte: User) -> None:
        entered(dorte)
        with person_context(anna.pk):
            assert not Request.objects.exists()
            assert not Step.objects.exists()


class TestUnproven:
    """It stops, joins and shows nothing, and nothing is carried out for it."""

    def test_verified_request_is_opened_beside_it(self, anna: User, dorte: User) -> None:
        entered(dorte, Right.ACCESS)
        with person_context(anna.pk):
            assert requests.open_by_person(anna, {Right.ACCESS: ""}, build.NOW)

    def test_verified_request_is_as_it_was(self, anna: User, dorte: User) -> None:
        with person_context(anna.pk):
            own = requests.open_by_person(anna, {Right.ACCESS: "", Right.OBJECTION: "x"}, build.NOW)
        with build.as_owner():
            before = list(own.rights.order_by("right").values())
        request = entered(dorte, Right.ACCESS, Right.OBJECTION)
        with at_the_desk(dorte):
            for row in request.rights.all():
                deciding.decide(row, State.WITHDRAWN, dorte, build.NOW)
        with build.as_owner():
            assert list(own.rights.order_by("right").values()) == before

    @pytest.mark.parametrize("state", [State.ASSESS, State.ACT, State.DONE, State.REFUSED])
    @pytest.mark.parametrize("before", [State.IDENTITY, State.PAUSED])
    def test_no_act_takes_it_further(
        self, anna: User, dorte: User, before: State, state: State
    ) -> None:
        row = only_right(entered(dorte))
        with build.as_owner():
            RequestedRight.objects.update(state=before)
        refusals = (requests.Unproven, requests.IllegalMove)
        with at_the_desk(dorte), pytest.raises(refusals):
            requests.move(row, state, requests.staff(dorte), build.NOW, reason="x")
        assert state not in deciding.moves(fresh(row), build.NOW)

    def test_worker_makes_nothing_of_it(self, anna: User, dorte: User) -> None:
        entered(dorte, *Right)
        round_of_the_worker(build.NOW)
        with build.as_owner():
            assert not Package.objects.exists()
            anna.refresh_from_db()
        assert anna.restricted_at is None

    def test_second_look_is_not_had_at_it(self, anna: User, dorte: User) -> None:
        row = only_right(entered(dorte))
        with at_the_desk(dorte):
            words = "Nobody known."
            deciding.decide(row, State.NOT_IDENTIFIABLE, dorte, build.NOW, reason=words)
        assert not requests.may_look_again(fresh(row))

    def test_clock_is_watched_all_the_same(self, anna: User, dorte: User) -> None:
        row = only_right(entered(dorte))
        with build.as_role("duty"):
            escalation.escalate(build.NOW + 31 * DAY)
            assert Alert.objects.get(kind="request-clock-overdue").subject == str(row.pk)


class TestEvidence:
    def test_proof_gives_it_to_the_person_and_the_service_goes_on(
        self, anna: User, dorte: User
    ) -> None:
        request = entered(dorte, Right.ACCESS, Right.OBJECTION)
        prove(dorte, request)
        round_of_the_worker(build.NOW)
        with build.as_owner():
            request.refresh_from_db()
            states = dict(request.rights.values_list("right", "state"))
            assert Package.objects.get().person_id == anna.pk
            steps = Step.objects.filter(kind=Step.Kind.PROVEN)
            assert {(step.by, step.reason) for step in steps} == {("staff", HOW)}
            assert not Claim.objects.exists()
        assert (request.person_id, request.proven_at) == (anna.pk, build.NOW)
        assert states == {Right.ACCESS: State.ACT, Right.OBJECTION: State.ASSESS}

    def test_staff_write_how(self, anna: User, dorte: User) -> None:
        request = entered(dorte)
        with pytest.raises(requests.ReasonMissing):
            prove(dorte, request, how=" ")

    def test_it_is_proven_once(self, anna: User, dorte: User) -> None:
        request = entered(dorte)
        prove(dorte, request)
        with pytest.raises(requests.IllegalMove):
            prove(dorte, request)

    def test_what_is_under_way_is_not_done_twice(self, anna: User, dorte: User) -> None:
        with person_context(anna.pk):
            requests.open_by_person(anna, {Right.ACCESS: ""}, build.NOW)
        request = entered(dorte, Right.ACCESS, Right.PORTABILITY)
        prove(dorte, request)
        with build.as_owner():
            states = dict(request.rights.values_list("right", "state"))
        assert states == {Right.ACCESS: State.ASSESS, Right.PORTABILITY: State.ACT}

    def test_who_has_no_account_can_be_reached_until_the_answer(
        self, anna: User, dorte: User
    ) -> None:
        request = entered(dorte, Right.ACCESS, address="nobody@elsewhere.example")
        prove(dorte, request)
        round_of_the_worker(build.NOW)
        row = only_right(request)
        assert row.state == State.ASSESS
        with at_the_desk(dorte):
            assert "nobody@elsewhere.example" in claims.contact(Claim.objects.get())
            deciding.decide(row, State.REFUSED, dorte, build.NOW, reason="Nothing is kept.")
        round_of_the_worker(build.NOW)
        with build.as_owner():
            assert not Claim.objects.exists()


class TestLink:
    def test_it_goes_to_the_address_on_file_and_stops_the_clock(
        self, anna: User, dorte: User
    ) -> None:
        request = entered(dorte, Right.ACCESS, Right.OBJECTION, contact="evil@thief.example")
        mailed_link(dorte, request)
        (letter,) = mails("gdpr/identity_asked")
        assert letter["to"] == "anna@due.example"
        with build.as_owner():
            one, other = request.rights.select_related("request")
            assert requests.stands_still(one, build.NOW + DAY)
            assert requests.stands_still(other, build.NOW + DAY)

    def test_nobody_known_gets_no_mail(self, anna: User, dorte: User) -> None:
        request = entered(dorte, address="anna@elsewhere.example")
        with pytest.raises(claims.NobodyKnown):
            mailed_link(dorte, request)
        assert mails("gdpr/identity_asked") == []

    def test_reading_changes_nothing_and_posting_proves_it(
        self, anna: User, dorte: User, client: Client
    ) -> None:
        request = entered(dorte, Right.ACCESS)
        path = at("gdpr:identity-confirm", mailed_link(dorte, request))
        assert "Is this request yours?" in client.get(path).text
        round_of_the_worker(build.NOW)
        assert only_right(request).state == State.PAUSED
        assert "We go on with your request" in client.post(path).text
        round_of_the_worker(build.NOW)
        row = only_right(request)
        assert (row.state, row.request.person_id) == (State.ACT, anna.pk)
        with build.as_owner():
            assert Package.objects.get().person_id == anna.pk
            assert row.steps.get(kind=Step.Kind.PROVEN).by == Step.By.PERSON
        assert client.post(path).status_code == 404

    def test_it_works_in_a_browser_of_somebody_else_and_gives_them_nothing(
        self, anna: User, carl: User, dorte: User
    ) -> None:
        """Who follows it need not be signed in, or not as that person."""
        request = entered(dorte)
        path = at("gdpr:identity-confirm", mailed_link(dorte, request))
        page = visit(carl)
        page.post(path)
        round_of_the_worker(build.NOW)
        assert only_right(request).request.person_id == anna.pk
        assert page.get(at("gdpr:request", request.pk)).status_code == 404

    def test_link_of_another_request_or_person_opens_nothing(
        self, anna: User, carl: User, dorte: User
    ) -> None:
        request = entered(dorte)
        mailed_link(dorte, request)
        for person, asked in ((carl, request.pk), (anna, build.claim_of(anna).pk)):
            values = {"person": str(person.pk), "request": str(asked)}
            token = links.make(claims.LINK_PURPOSE, values, build.NOW + DAY)
            with pytest.raises(LinkInvalid):
                claims.confirm(token, build.NOW)

    def test_portal_can_write_nothing_else(self, anna: User, dorte: User) -> None:
        request = entered(dorte)
        mailed_link(dorte, request)
        with person_context(anna.pk):
            assert Claim.objects.count() == 1
            for fields in ({"claimant": None}, {"sealed": b""}, {"asked_at": build.NOW}):
                with pytest.raises(DatabaseError), transaction.atomic():
                    Claim.objects.update(**fields)

    def test_silence_ends_it_and_leaves_no_words(
        self, anna: User, dorte: User, clock: Clock
    ) -> None:
        request = entered(dorte, Right.ACCESS, words="I am Anna, tell me all.")
        token = mailed_link(dorte, request)
        clock.forward(days=7, minutes=-1)
        round_of_the_worker(clock.now)
        assert only_right(request).is_open
        clock.forward(minutes=1)
        round_of_the_worker(clock.now)
        row = only_right(request)
        assert (row.state, row.details) == (State.NOT_IDENTIFIABLE, "")
        assert "link" in (row.resolution or "")
        with build.as_owner():
            assert not Claim.objects.exists()
        with pytest.raises(links.LinkExpired):
            claims.confirm(token, clock.now)

    def test_what_nobody_was_asked_about_does_not_end_by_itself(
        self, anna: User, dorte: User
    ) -> None:
        request = entered(dorte)
        round_of_the_worker(build.NOW + 20 * DAY)
        assert only_right(request).state == State.IDENTITY

    def test_nobody_is_reminded_of_it(self, anna: User, dorte: User) -> None:
        mailed_link(dorte, entered(dorte))
        with build.as_role("duty"):
            assert escalation.remind(build.NOW + 8 * DAY) == 0


def test_flood_of_forged_letters_leaves_the_genuine_one_alone(anna: User, dorte: User) -> None:
    """A hundred letters in her name, all kinds of endings: hers goes its way, once."""
    with person_context(anna.pk):
        genuine = requests.open_by_person(
            anna, {Right.PORTABILITY: "", Right.OBJECTION: ""}, build.NOW
        )
    with build.as_owner():
        before = (list(genuine.rights.order_by("right").values()), Step.objects.count())
    ends = [State.WITHDRAWN, State.NOT_IDENTIFIABLE, None, None]
    for number in range(100):
        request = entered(dorte, *list(Right)[number % 8 :], words=f"Letter {number}")
        if to := ends[number % 4]:
            with at_the_desk(dorte):
                for row in request.rights.all():
                    deciding.decide(row, to, dorte, build.NOW, reason="Not hers.")
    with build.as_owner():
        own = Step.objects.filter(right__request=genuine)
        assert (list(genuine.rights.order_by("right").values()), own.count()) == before
    round_of_the_worker(build.NOW)
    with build.as_owner():
        assert [package.right.request_id for package in Package.objects.all()] == [genuine.pk]
        assert not OutgoingMail.objects.filter(kind__startswith="gdpr/").exists()
        # Her own objection restricts her account until it is weighed (article 18(1)(d)).
        objection = genuine.rights.get(right=Right.OBJECTION)
        assert [each.right for each in PersonRestriction.objects.filter(person=anna)] == [objection]
