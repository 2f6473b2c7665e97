# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's queue: clocks to be seen, decisions with their letters, nothing without reasons."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts import vault
from accounts.models import AuditEvent, OutgoingMail, User
from gdpr import deadlines, deciding, requests
from gdpr.letters.writing import Abuse, Proof
from gdpr.models import Correction, Package, Request, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.desk import at_the_desk, letters_leave

pytestmark = pytest.mark.django_db

State = RequestedRight.State
REASON = "The data are needed for a claim that is before the court."
ABUSE = Proof(Abuse.EXCESSIVE, "The same request on four days of October.", Decimal(650))


def address(page: str, *arguments: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_requestedright_{page}", args=arguments)


@pytest.fixture
def staff(clock: Clock, dorte: User) -> Client:
    return verified(dorte)


@pytest.fixture
def right(anna: User) -> RequestedRight:
    with build.as_owner():
        return build.request_of(anna, Right.OBJECTION).rights.get()


def decide(staff: Client, right: RequestedRight, what: str, reason: str = "") -> Any:
    return staff.post(address("decide", right.id), {"what": what, "reason": reason}, follow=True)


def fresh(right: RequestedRight) -> RequestedRight:
    with build.as_owner():
        return RequestedRight.objects.get(pk=right.pk)


def letters() -> list[dict[str, str]]:
    letters_leave()
    with build.as_owner():
        mails = list(OutgoingMail.objects.filter(kind__startswith="gdpr/").order_by("created_at"))
    return [json.loads(vault.unseal(f"outgoing-mail|{mail.id}", mail.sealed)) for mail in mails]


def test_queue_shows_what_is_due_first(staff: Client, anna: User) -> None:
    with build.as_owner():
        late = build.request_of(anna, Right.OBJECTION).rights.get()
        early = build.request_of(anna, Right.RESTRICTION).rights.get()
        done = build.request_of(anna, Right.ACCESS).rights.get()
        RequestedRight.objects.filter(pk=early.pk).update(promised_on="2026-11-25")
        RequestedRight.objects.filter(pk=done.pk).update(state=State.DONE, closed_at=build.NOW)
    text = staff.get(address("changelist")).text
    order = [text.index(row.request.reference) for row in (early, late, done)]
    assert order == sorted(order)
    assert "5 days" in text
    assert "anna@due.example" not in text


def test_each_look_at_one_is_recorded(staff: Client, right: RequestedRight) -> None:
    assert staff.get(address("change", right.id)).status_code == 200
    with build.as_owner():
        event = AuditEvent.objects.get(action="request.viewed")
    assert event.target_id == str(right.id)


def test_page_on_which_it_is_decided_is_a_look_too(staff: Client, right: RequestedRight) -> None:
    assert staff.get(address("decide", right.id)).status_code == 200
    with build.as_owner():
        event = AuditEvent.objects.get(action="request.viewed")
    assert event.target_id == str(right.id)


def test_refusal_has_reasons_authority_and_courts(staff: Client, right: RequestedRight) -> None:
    assert "What is missing: the reasons." in decide(staff, right, State.REFUSED).text
    assert fresh(right).state == State.ASSESS
    assert letters() == []
    decide(staff, right, State.REFUSED, REASON)
    assert (fresh(right).state, fresh(right).resolution) == (State.REFUSED, REASON)
    (letter,) = letters()
    assert letter["to"] == "anna@due.example"
    for words in (REASON, "Datatilsynet", "domstolene", "fornyet vurdering"):
        assert words in letter["text"]
        assert words in letter["html"]


def test_question_is_asked_and_stops_the_clock(
    staff: Client, right: RequestedRight, clock: Clock
) -> None:
    decide(staff, right, State.PAUSED, "Which data do you mean?")
    assert "Which data do you mean?" in letters()[0]["text"]
    clock.forward(days=3)
    assert "stands still" in staff.get(address("changelist")).text
    decide(staff, right, State.ASSESS)
    assert fresh(right).promised_on == right.promised_on + timedelta(days=3)


def test_question_asked_too_late_stops_nothing(
    staff: Client, right: RequestedRight, clock: Clock
) -> None:
    clock.forward(days=20)
    assert "too late for the clock to stand still" in staff.get(address("decide", right.id)).text
    decide(staff, right, State.PAUSED, "Which data do you mean?")
    assert "løber videre" in letters()[0]["text"]
    clock.forward(days=3)
    text = staff.get(address("changelist")).text
    assert "7 days" in text
    assert "stands still" not in text


def test_extension_is_told_with_reasons(staff: Client, right: RequestedRight) -> None:
    decide(staff, right, "extend", "There are many records to read.")
    row = fresh(right)
    assert row.extended_at is not None
    assert str(row.due_on) == "2027-02-22"
    assert "There are many records to read." in letters()[0]["text"]
    assert 'value="extend"' not in staff.get(address("decide", right.id)).text


def test_extension_promises_its_own_day_and_not_the_holidays_after_it(
    right: RequestedRight, clock: Clock, dorte: User
) -> None:
    """Three months from 26 December end on Good Friday; the limit moves on to Tuesday."""
    with build.as_owner():
        received_at = datetime(2026, 12, 26, 12, tzinfo=UTC)
        Request.objects.filter(pk=right.request_id).update(received_at=received_at)
        usual = deadlines.clock(received_at, received_at)
        dates = {"promised_on": usual.promised_on, "due_on": usual.due_on}
        RequestedRight.objects.filter(pk=right.pk).update(**dates)
    clock.now = received_at
    decide(verified(dorte), right, "extend", "There are many records to read.")
    assert str(fresh(right).due_on) == "2027-03-30"
    assert "26. marts 2027" in letters()[0]["text"]


def test_extension_is_open_as_long_as_the_page_says_so(
    right: RequestedRight, clock: Clock, dorte: User
) -> None:
    """While a question is open the limit moves on, for the page and for the act."""
    with build.as_owner():
        requests.move(right, State.PAUSED, requests.SERVICE, build.NOW, reason="Which data?")
    clock.forward(days=35)
    staff = verified(dorte)
    assert 'value="extend"' in staff.get(address("decide", right.id)).text
    decide(staff, right, "extend", "There are many records to read.")
    assert fresh(right).extended_at is not None


def test_what_the_state_does_not_allow_is_not_offered(staff: Client, right: RequestedRight) -> None:
    text = staff.get(address("decide", right.id)).text
    assert 'value="refused"' in text
    assert 'value="done"' not in text
    decide(staff, right, State.DONE)
    assert fresh(right).state == State.ASSESS


def test_what_runs_by_itself_can_only_be_taken_over(staff: Client, anna: User) -> None:
    with build.as_owner():
        right = build.request_of(anna, Right.ACCESS).rights.get()
        RequestedRight.objects.filter(pk=right.pk).update(state=State.ACT)
    text = staff.get(address("decide", right.id)).text
    assert 'value="assess"' in text
    assert 'value="done"' not in text


@pytest.mark.parametrize("state", [Package.State.WAITING, Package.State.FAILED])
def test_package_goes_with_a_right_that_staff_close(staff: Client, anna: User, state: str) -> None:
    with build.as_owner():
        asked = build.request_of(anna, Right.ACCESS)
        build.package_of(asked, state=state)
        right = asked.rights.get()
    decide(staff, right, State.REFUSED, REASON)
    assert fresh(right).state == State.REFUSED
    with build.as_owner():
        assert not Package.objects.exists()


def test_what_a_colleague_has_decided_meanwhile_counts(right: RequestedRight, dorte: User) -> None:
    seen = fresh(right)
    with at_the_desk(dorte):
        deciding.decide(right, State.WITHDRAWN, dorte, build.NOW)
        with pytest.raises(requests.IllegalMove):
            deciding.decide(seen, deciding.FEE, dorte, build.NOW, reason=REASON, proof=ABUSE)
    assert len(letters()) == 1


def test_nobody_decides_their_own_request(staff: Client, dorte: User) -> None:
    with build.as_owner():
        own = build.request_of(dorte, Right.OBJECTION).rights.get()
    assert "You cannot decide your own request" in decide(staff, own, State.ACT).text
    assert fresh(own).state == State.ASSESS


def test_failed_package_is_put_together_once_more(staff: Client, anna: User) -> None:
    with build.as_owner():
        asked = build.request_of(anna, Right.ACCESS)
        package = build.package_of(asked, state=Package.State.FAILED, attempts=3)
        right = asked.rights.get()
    decide(staff, right, "rebuild")
    with build.as_owner():
        package.refresh_from_db()
    assert (package.state, package.attempts) == (Package.State.WAITING, 0)


class TestCorrection:
    @pytest.fixture
    def wish(self, right: RequestedRight, anna: User) -> RequestedRight:
        with build.as_owner():
            row = build.request_of(anna, Right.RECTIFICATION).rights.get()
            Correction.objects.create(
                right=row, field="accounts.User.email", value="Anne@due.example", evidence="x"
            )
        return row

    def test_accepted_value_is_written_and_forgotten_here(
        self, staff: Client, wish: RequestedRight, anna: User
    ) -> None:
        with build.as_owner():
            Correction.objects.update(field="accounts.User.title", value="Direktør")
        decide(staff, wish, "accept")
        with build.as_owner():
            anna.refresh_from_db()
            kept = Correction.objects.get(right=wish)
            event = AuditEvent.objects.get(action="person.rectified")
        assert anna.title == "Direktør"
        assert (kept.value, kept.evidence) == ("", "")
        assert event.fields == ["title"]
        assert fresh(wish).state == State.DONE
        assert [letter["to"] for letter in letters()] == ["anna@due.example"]

    def test_accepted_address_is_not_written_before_it_is_proven(
        self, staff: Client, wish: RequestedRight, anna: User
    ) -> None:
        decide(staff, wish, "accept")
        with build.as_owner():
            anna.refresh_from_db()
        assert anna.email == "anna@due.example"
        assert fresh(wish).state == State.ACT
        # Whoever did not ask for it hears of it where they still read mail.
        to = {letter["to"] for letter in letters()}
        assert to == {"anne@due.example", "anna@due.example"}

    def test_no_decision_brings_an_address_to_its_end_without_the_link(
        self, staff: Client, wish: RequestedRight
    ) -> None:
        assert 'value="act"' not in staff.get(address("decide", wish.id)).text
        decide(staff, wish, "accept")
        text = staff.get(address("decide", wish.id)).text
        assert 'value="done"' not in text
        assert 'value="partly_done"' not in text
        assert 'value="refused"' in text

    def test_address_of_another_account_is_refused(
        self, staff: Client, wish: RequestedRight, anna: User
    ) -> None:
        build.person("Anne", "Due")
        assert "Another account has that address" in decide(staff, wish, "accept").text
        with build.as_owner():
            anna.refresh_from_db()
        assert anna.email == "anna@due.example"
        assert fresh(wish).state == State.ASSESS

    def test_refused_value_is_forgotten(self, staff: Client, wish: RequestedRight) -> None:
        decide(staff, wish, State.REFUSED, REASON)
        with build.as_owner():
            assert Correction.objects.get(right=wish).value == ""


def test_support_without_the_right_to_act_decides_nothing(
    clock: Clock, right: RequestedRight
) -> None:
    helper = build.person("Hans", "Hjælp", is_staff=True)
    assert verified(helper).get(address("decide", right.id)).status_code == 403
