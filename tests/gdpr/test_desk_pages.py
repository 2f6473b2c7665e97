# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's pages that are about no single right: entering, deciding many, all clocks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts.models import AuditEvent, OutgoingMail, User
from gdpr import deciding
from gdpr.models import Claim, Request, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.desk import fresh, letters_leave

pytestmark = pytest.mark.django_db

State = RequestedRight.State
LETTER = {
    "received_at": "2026-11-18T09:30",
    "language": "da",
    "rights": ["access", "objection"],
    "address": "anna@due.example",
    "contact": "Anna Due, Duevej 1",
    "words": "Send me everything.",
}


def address(page: str, *arguments: object) -> str:
    with override("en"):
        return reverse(f"admin:gdpr_requestedright_{page}", args=arguments)


@pytest.fixture
def staff(clock: Clock, dorte: User) -> Client:
    return verified(dorte)


def enter(staff: Client, **changed: Any) -> Any:
    return staff.post(address("enter"), LETTER | changed, follow=True)


def decide_many(staff: Client, rows: list[RequestedRight], **decision: str) -> Any:
    values = {"action": "decide_many", "_selected_action": [str(row.pk) for row in rows]}
    return staff.post(address("changelist"), values | decision, follow=True)


def objections(*people: User) -> list[RequestedRight]:
    with build.as_owner():
        return [build.request_of(person, Right.OBJECTION).rights.get() for person in people]


class TestEntering:
    def test_letter_is_taken_down_with_its_time_of_receipt(self, staff: Client, anna: User) -> None:
        text = enter(staff).text
        assert "Entered." in text
        assert "Anna Due, Duevej 1" in text
        assert "An account has this address." in text
        with build.as_owner():
            made = Request.objects.get()
            rights = set(made.rights.values_list("right", "details", "state"))
        # A quarter past nine in Copenhagen would be another instant.
        assert made.received_at.isoformat() == "2026-11-18T08:30:00+00:00"
        assert (made.channel, made.person_id) == (Request.Channel.STAFF, None)
        assert rights == {
            ("access", "Send me everything.", "identity"),
            ("objection", "Send me everything.", "identity"),
        }

    def test_future_is_refused_near_the_field(self, staff: Client) -> None:
        text = enter(staff, received_at="2026-11-20T13:30").text
        assert "in the future" in text
        with build.as_owner():
            assert not Request.objects.exists()

    def test_support_enters_nothing(self, clock: Clock) -> None:
        helper = verified(build.person("Hans", "Hjælp", is_staff=True))
        assert helper.get(address("enter")).status_code == 403
        assert helper.post(address("enter"), LETTER).status_code == 403

    def test_identity_is_what_can_be_decided_next(self, staff: Client, anna: User) -> None:
        enter(staff, rights=["access"])
        with build.as_owner():
            row = RequestedRight.objects.get()
        page = address("decide", row.pk)
        text = staff.get(page).text
        assert 'value="prove"' in text
        assert 'value="link"' in text
        assert 'value="act"' not in text
        assert 'value="refused"' not in text
        staff.post(page, {"what": deciding.PROVE, "reason": "Her voice."})
        assert fresh(row).request.person_id == anna.pk
        with build.as_owner():
            assert not Claim.objects.exists()
            assert AuditEvent.objects.filter(action="request.proven").count() == 1


class TestMany:
    def test_each_is_decided_and_told(self, staff: Client, anna: User, carl: User) -> None:
        rows = objections(anna, carl)
        text = decide_many(staff, rows).text
        assert all(row.request.reference in text for row in rows)
        assert "@due.example" not in text
        answer = decide_many(staff, rows, what="refused", reason="No grounds were given.")
        assert "2 are decided" in answer.text
        assert {fresh(row).state for row in rows} == {State.REFUSED}
        assert letters_leave() == 2
        with build.as_owner():
            assert OutgoingMail.objects.filter(kind="gdpr/letter").count() == 2

    def test_same_rules_hold(self, staff: Client, anna: User, dorte: User) -> None:
        own, other = objections(dorte, anna)
        text = decide_many(staff, [own, other], what="refused", reason="Because.").text
        assert "cannot decide your own" in text
        assert "1 is decided" in text
        assert (fresh(own).state, fresh(other).state) == (State.ASSESS, State.REFUSED)
        (third,) = objections(anna)
        assert "not complete" in decide_many(staff, [third], what="refused").text
        assert fresh(third).state == State.ASSESS

    def test_only_what_all_can_is_offered(self, staff: Client, anna: User, carl: User) -> None:
        one, other = objections(anna, carl)
        with build.as_owner():
            RequestedRight.objects.filter(pk=other.pk).update(state=State.ACT)
        text = decide_many(staff, [one, other]).text
        assert 'value="refused"' in text
        assert 'value="paused"' not in text
        assert 'value="done"' not in text

    def test_what_means_something_else_for_another_is_not_offered(
        self, staff: Client, anna: User
    ) -> None:
        """Who is known gets a letter with the question, whom nobody knows is asked by hand."""
        (known,) = objections(anna)
        enter(staff)
        with build.as_owner():
            unknown = RequestedRight.objects.get(request__person=None, right=Right.OBJECTION)
        text = decide_many(staff, [known, unknown]).text
        assert 'value="withdrawn"' in text
        assert 'value="paused"' not in text

    def test_what_is_not_there_is_not_decided(self, staff: Client) -> None:
        assert "nothing that could be decided" in decide_many(staff, [RequestedRight()]).text

    def test_what_is_closed_has_nothing_to_be_decided(self, staff: Client, anna: User) -> None:
        (row,) = objections(anna)
        with build.as_owner():
            RequestedRight.objects.update(state=State.DONE, closed_at=build.NOW)
        assert "nothing that could be decided" in decide_many(staff, [row]).text

    def test_support_decides_nothing(self, clock: Clock, anna: User) -> None:
        rows = objections(anna)
        helper = verified(build.person("Hans", "Hjælp", is_staff=True))
        decide_many(helper, rows, what="refused", reason="Because.")
        assert fresh(rows[0]).state == State.ASSESS


def test_board_names_rights_and_nobody(staff: Client, anna: User, clock: Clock) -> None:
    objections(anna)
    with build.as_owner():
        late = build.request_of(anna, Right.ACCESS).rights.get()
        promised = build.NOW.date() - timedelta(days=1)
        RequestedRight.objects.filter(pk=late.pk).update(promised_on=promised)
    text = staff.get(address("clocks")).text
    assert "<strong>1</strong>" in text
    assert "portal" in text
    assert "anna" not in text


def test_board_without_open_requests(staff: Client) -> None:
    assert "Everything is answered." in staff.get(address("clocks")).text


def test_queue_leads_to_both_pages(staff: Client) -> None:
    text = staff.get(address("changelist")).text
    assert address("enter") in text
    assert address("clocks") in text
