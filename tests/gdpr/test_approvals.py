# SPDX-License-Identifier: AGPL-3.0-or-later
"""An erasure that was not asked for in the portal: proven, approved by another, thought over."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils.translation import override
from pytest_django.fixtures import Settings

from accounts import vault
from accounts.models import Alert, AuditEvent, Organisation, OutgoingMail, Role, User
from accounts.tenancy import person_context
from gdpr import approvals, claims, deciding, intake, requests, selfservice
from gdpr.erasing import run
from gdpr.models import Approval, Erasure, Request, RequestedRight, Right, Step
from gdpr.rights import erasure
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.desk import at_the_desk, entered, fresh, only_right, round_of_the_worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

State = RequestedRight.State
Decision = Approval.Decision


@pytest.fixture
def anna(db: None) -> User:
    """Owns nothing, so that nothing stands in the way of erasing her."""
    return build.person("Anna", "Due")


@pytest.fixture
def egon(db: None) -> User:
    """A privacy officer besides Dorte, by permission."""
    return officer("Egon")


def officer(first_name: str) -> User:
    person = build.person(first_name, "Ret", is_staff=True)
    with build.as_owner():
        for codename in ("view_requestedright", "change_requestedright", "change_approval"):
            person.user_permissions.add(Permission.objects.get(codename=codename))
    return person


@pytest.fixture
def asked(anna: User, dorte: User) -> RequestedRight:
    """A letter that Dorte has entered and proven; the service has asked a second person."""
    request = entered(dorte, Right.ERASURE)
    with at_the_desk(dorte):
        claims.prove_by_evidence(request, "Her voice.", dorte, build.NOW)
    round_of_the_worker(build.NOW)
    return only_right(request)


def approval() -> Approval:
    with build.as_owner():
        return Approval.objects.get(decided_at=None)


def approve(by: User) -> None:
    with at_the_desk(by):
        deciding.approve(approval(), by, build.NOW)


def open_alerts() -> set[str]:
    with build.as_owner():
        return set(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def erasures() -> int:
    with build.as_owner():
        return Erasure.objects.count()


def test_nothing_runs_before_somebody_else_has_approved(
    asked: RequestedRight, anna: User, dorte: User
) -> None:
    round_of_the_worker(build.NOW)
    assert (fresh(asked).state, erasures()) == (State.ASSESS, 0)
    with build.as_owner():
        anna.refresh_from_db()
        assert Approval.objects.get().asked_by_id == dorte.pk
    assert anna.restricted_at is None
    with at_the_desk(dorte):
        assert State.ACT not in deciding.moves(fresh(asked), build.NOW)


def test_who_asked_does_not_approve(asked: RequestedRight, dorte: User, egon: User) -> None:
    with pytest.raises(approvals.SamePerson):
        approve(dorte)
    assert fresh(asked).state == State.ASSESS


def test_database_keeps_two_people_apart(asked: RequestedRight, dorte: User) -> None:
    values = {"decided_by": dorte, "decided_at": build.NOW, "decision": "approved"}
    with build.as_owner(), pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.update(**values)


def test_support_does_not_approve(asked: RequestedRight) -> None:
    with pytest.raises(approvals.NotAnOfficer):
        approve(build.person("Hans", "Hjælp", is_staff=True))


def test_nobody_approves_their_own(dorte: User, egon: User) -> None:
    request = entered(dorte, Right.ERASURE, address=egon.email)
    with at_the_desk(dorte):
        claims.prove_by_evidence(request, "In person.", dorte, build.NOW)
    round_of_the_worker(build.NOW)
    with pytest.raises(deciding.OwnRequest):
        approve(egon)


def test_approved_erasure_is_thought_over_and_carried_out(
    asked: RequestedRight, anna: User, egon: User, clock: Clock
) -> None:
    approve(egon)
    clock.forward(minutes=1)
    round_of_the_worker(clock.now)
    with build.as_owner():
        made = Erasure.objects.get()
        anna.refresh_from_db()
        kinds = list(asked.steps.order_by("id").values_list("kind", flat=True))
    assert made.due_at == clock.now + timedelta(hours=72)
    assert anna.restricted_at == clock.now
    assert kinds[-3:] == ["approval", "approved", "act"]
    with build.as_role("duty"):
        assert run.due(made.due_at - timedelta(seconds=1)) == []
        assert run.due(made.due_at) == [made.pk]


def test_link_of_the_mail_cancels_it(
    asked: RequestedRight, anna: User, egon: User, client: Client
) -> None:
    approve(egon)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        mail = OutgoingMail.objects.get(kind="gdpr/erasure_asked")
    letter = json.loads(vault.unseal(f"outgoing-mail|{mail.id}", mail.sealed))
    assert letter["to"] == "anna@due.example"
    token = re.search(r"/erasure/cancel/([\w-]+)/", letter["text"])
    assert token
    erasure.cancel_by_link(token[1], build.NOW)
    assert fresh(asked).state == State.WITHDRAWN
    with build.as_owner():
        anna.refresh_from_db()
    assert anna.restricted_at is None


def test_declined_goes_back_to_staff_who_can_ask_again(
    asked: RequestedRight, dorte: User, egon: User
) -> None:
    with at_the_desk(egon):
        deciding.decline(approval(), egon, build.NOW)
    round_of_the_worker(build.NOW)
    assert (fresh(asked).state, erasures()) == (State.ASSESS, 0)
    with build.as_owner():
        assert not Approval.objects.filter(decided_at=None).exists()
    with at_the_desk(dorte):
        deciding.decide(asked, deciding.APPROVAL, dorte, build.NOW)
    assert approval().asked_by_id == dorte.pk


def test_refused_request_needs_no_approval_any_more(
    asked: RequestedRight, dorte: User, egon: User
) -> None:
    waiting = approval()
    with at_the_desk(dorte):
        deciding.decide(asked, State.REFUSED, dorte, build.NOW, reason="A claim is in court.")
    with at_the_desk(egon), pytest.raises(requests.IllegalMove):
        deciding.approve(waiting, egon, build.NOW)
    round_of_the_worker(build.NOW)
    with build.as_owner():
        assert Approval.objects.get().decision == Decision.VOID
    assert open_alerts() == set()


def test_what_was_let_go_is_approved_by_nobody(asked: RequestedRight, egon: User) -> None:
    waiting = approval()
    with build.as_role("duty"):
        assert approvals.void(Approval.What.ERASURE, [asked.pk], build.NOW) == 1
    with at_the_desk(egon), pytest.raises(approvals.DecidedAlready):
        deciding.approve(waiting, egon, build.NOW)
    assert fresh(asked).state == State.ASSESS


def test_person_takes_it_back_before_it_has_begun(
    asked: RequestedRight, anna: User, egon: User
) -> None:
    with person_context(anna.pk):
        selfservice.withdraw(fresh(asked), anna, build.NOW)
    assert fresh(asked).state == State.WITHDRAWN


def test_only_owner_is_not_locked_out_of_the_organisation(
    asked: RequestedRight, anna: User, egon: User
) -> None:
    organisation: Organisation = build.organisation("Duehuset ApS")
    build.member(organisation, anna, Role.OWNER)
    approve(egon)
    round_of_the_worker(build.NOW)
    row = fresh(asked)
    assert (row.state, erasures()) == (State.ASSESS, 0)
    with build.as_owner():
        anna.refresh_from_db()
        reason = row.steps.order_by("id").last().reason  # type: ignore[union-attr]
    assert anna.restricted_at is None
    assert "eneste ejer" in reason
    assert "request-not-begun" in open_alerts()


def test_request_of_the_public_form_is_approved_as_well(anna: User, egon: User) -> None:
    with build.as_role("duty"):
        made = intake.open_proven(
            anna,
            {Right.ERASURE: "", Right.ACCESS: ""},
            build.NOW,
            channel=Request.Channel.FORM,
            received_at=build.NOW - timedelta(hours=2),
            by=requests.SERVICE,
        )
    round_of_the_worker(build.NOW)
    with build.as_owner():
        states = dict(made.rights.values_list("right", "state"))
        assert Approval.objects.get().asked_by_id is None
    assert states == {Right.ERASURE: State.ASSESS, Right.ACCESS: State.ACT}
    approve(egon)
    round_of_the_worker(build.NOW)
    assert erasures() == 1


class TestNoDeadEnd:
    """One privacy officer is enough, with a deputy; with nobody, the operator is told at once."""

    def test_deputy_approves_what_the_only_officer_asked_for(
        self, asked: RequestedRight, settings: Settings
    ) -> None:
        deputy = build.person("Dagny", "Vikar", is_staff=True)
        settings.PRIVACY_DEPUTY = "Dagny@Vikar.example"
        approve(deputy)
        round_of_the_worker(build.NOW)
        assert erasures() == 1

    def test_officer_approves_what_the_deputy_asked_for(
        self, anna: User, dorte: User, settings: Settings
    ) -> None:
        deputy = build.person("Dagny", "Vikar", is_staff=True)
        settings.PRIVACY_DEPUTY = deputy.email
        request = entered(deputy, Right.ERASURE)
        with at_the_desk(deputy):
            claims.prove_by_evidence(request, "In person.", deputy, build.NOW)
        round_of_the_worker(build.NOW)
        approve(dorte)
        round_of_the_worker(build.NOW)
        assert erasures() == 1

    def test_operator_is_told_when_nobody_can_and_a_new_deputy_is_enough(
        self, asked: RequestedRight, settings: Settings
    ) -> None:
        assert open_alerts() == {approvals.WAITING, approvals.NOBODY}
        deputy = build.person("Dagny", "Vikar", is_staff=True)
        settings.PRIVACY_DEPUTY = deputy.email
        round_of_the_worker(build.NOW)
        assert open_alerts() == {approvals.WAITING}
        approve(deputy)
        round_of_the_worker(build.NOW)
        assert open_alerts() == set()

    def test_alert_is_raised_once(self, asked: RequestedRight) -> None:
        round_of_the_worker(build.NOW)
        with build.as_owner():
            assert set(Alert.objects.values_list("count", flat=True)) == {1}

    @pytest.mark.parametrize("address", ["", "dagny@vikar.example"])
    def test_who_is_no_staff_is_no_deputy(
        self, asked: RequestedRight, settings: Settings, address: str
    ) -> None:
        settings.PRIVACY_DEPUTY = address
        outsider = build.person("Dagny", "Vikar")
        assert not approvals.is_deputy(outsider)
        with pytest.raises(approvals.NotAnOfficer):
            approve(outsider)


class TestPage:
    def choose(self, page: Client, action: str) -> str:
        with override("en"):
            path = reverse("admin:gdpr_approval_changelist")
        values = {"action": action, "_selected_action": [str(approval().pk)]}
        return page.post(path, values, follow=True).text

    def test_second_person_approves_on_the_list(self, asked: RequestedRight, egon: User) -> None:
        assert "Decided." in self.choose(verified(egon), "approve")
        assert fresh(asked).state == State.ACT
        with build.as_owner():
            acts = set(AuditEvent.objects.values_list("action", flat=True))
        assert {"approval.asked", "approval.approved"} <= acts

    def test_first_person_is_told_why_not(self, asked: RequestedRight, dorte: User) -> None:
        assert "Somebody else than who asked" in self.choose(verified(dorte), "approve")
        assert fresh(asked).state == State.ASSESS

    def test_deputy_reaches_the_page_without_a_permission(
        self, asked: RequestedRight, settings: Settings
    ) -> None:
        deputy = build.person("Dagny", "Vikar", is_staff=True)
        page = verified(deputy)
        with override("en"):
            path = reverse("admin:gdpr_approval_changelist")
        assert page.get(path).status_code == 403
        settings.PRIVACY_DEPUTY = deputy.email
        assert page.get(path).status_code == 200
        assert "Decided." in self.choose(page, "decline")
        with build.as_owner():
            assert Step.objects.filter(kind=Step.Kind.DECLINED).count() == 1
