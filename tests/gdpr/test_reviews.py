# SPDX-License-Identifier: AGPL-3.0-or-later
"""Article 22: mail that figures have stopped; a person is asked for, with a clock, and decides."""

from __future__ import annotations

import json

import pytest
from pytest_django.fixtures import Settings

from accounts import vault
from accounts.models import Organisation, OutgoingMail, Role, User
from gdpr import deciding, escalation, selfservice
from gdpr.models import Request, RequestedRight, Right
from gdpr.rights import review
from relay import bouncerates, reviews
from relay.models import Hold, Review
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, leads_to, visit
from tests.gdpr.desk import at_the_desk, fresh, letters_leave, round_of_the_worker, told
from tests.twice import twice

pytestmark = pytest.mark.django_db

State = RequestedRight.State


@pytest.fixture
def stopped(organisation: Organisation, clock: Clock) -> Review:
    with build.as_owner():
        row = Review.objects.create(
            organisation=organisation, domain="due.example", opened_at=clock.now, done=400, hard=40
        )
        bouncerates.hold(row, clock.now)
    return row


@pytest.fixture
def asked(stopped: Review, anna: User, organisation: Organisation) -> RequestedRight:
    visit(anna, organisation).post(at("gdpr:review-ask", stopped.pk))
    with build.as_owner():
        return RequestedRight.objects.select_related("request").get()


def seen(row: Review) -> Review:
    with build.as_owner():
        return Review.objects.get(pk=row.pk)


def letters() -> list[str]:
    """What was written to her after the receipt."""
    with build.as_owner():
        rows = list(OutgoingMail.objects.filter(kind="gdpr/letter").order_by("created_at"))[1:]
    return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))["text"] for row in rows]


def test_page_of_the_stop_leads_to_a_request_with_a_clock(
    stopped: Review, anna: User, organisation: Organisation
) -> None:
    page = visit(anna, organisation)
    assert at("gdpr:review-ask", stopped.pk) in page.get(at("relay:review", stopped.pk)).text
    answer = page.post(at("gdpr:review-ask", stopped.pk))
    assert leads_to(answer, "relay:review", stopped.pk)
    with build.as_owner():
        row = RequestedRight.objects.get()
        assert row.request.person_id == anna.pk
    assert (row.right, row.state) == (Right.REVIEW, State.ASSESS)
    assert "due.example" in row.details
    assert seen(stopped).asked_at is not None


def test_it_is_asked_for_once(
    asked: RequestedRight, stopped: Review, anna: User, organisation: Organisation
) -> None:
    visit(anna, organisation).post(at("gdpr:review-ask", stopped.pk))
    with build.as_owner():
        assert Request.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_ask_once(stopped: Review, anna: User, organisation: Organisation) -> None:
    here, path = visit(anna, organisation), at("gdpr:review-ask", stopped.pk)
    twice(lambda: here.post(path), selfservice, "ask")
    with build.as_owner():
        assert Request.objects.count() == 1


def test_clock_runs(asked: RequestedRight, clock: Clock) -> None:
    clock.forward(days=31)
    with build.as_role("duty"):
        assert escalation.escalate(clock.now) == 1


def test_staff_let_the_mail_go_on(asked: RequestedRight, stopped: Review, dorte: User) -> None:
    with at_the_desk(dorte):
        deciding.decide(asked, State.ACT, dorte, build.NOW)
        assert not Hold.objects.filter(reason=Hold.Reason.BOUNCES).exists()
        deciding.decide(asked, State.DONE, dorte, build.NOW)
    assert seen(stopped).decision == Review.Decision.RESUMED
    assert len(letters()) == 1


def test_staff_keep_it_stopped_with_reasons(
    asked: RequestedRight, stopped: Review, dorte: User
) -> None:
    with at_the_desk(dorte):
        reason = "One mail in ten went to nobody."
        deciding.decide(asked, State.REFUSED, dorte, build.NOW, reason=reason)
    letters_leave()
    assert seen(stopped).decision == Review.Decision.KEPT
    with build.as_owner():
        assert Hold.objects.filter(reason=Hold.Reason.BOUNCES).exists()
    (text,) = letters()
    assert reason in text
    assert "Datatilsynet" in text


def test_what_was_lifted_on_the_page_of_the_stops_is_answered(
    asked: RequestedRight, stopped: Review, dorte: User
) -> None:
    with at_the_desk(dorte):
        reviews.decide(stopped, Review.Decision.RESUMED, by=dorte)
    round_of_the_worker(build.NOW)
    assert fresh(asked).state == State.DONE
    assert len(letters()) == 1


def test_what_was_lifted_is_not_done_before_its_letter_can_leave(
    asked: RequestedRight, stopped: Review, dorte: User, settings: Settings
) -> None:
    with at_the_desk(dorte):
        reviews.decide(stopped, Review.Decision.RESUMED, by=dorte)
    settings.OPERATOR_NAME = ""
    round_of_the_worker(build.NOW)
    assert fresh(asked).state == State.ASSESS
    assert told(review.NOT_SETTLED) == {str(asked.pk)}


def test_what_was_kept_there_still_owes_its_reasons(
    asked: RequestedRight, stopped: Review, dorte: User
) -> None:
    with at_the_desk(dorte):
        reviews.decide(stopped, Review.Decision.KEPT, by=dorte)
    round_of_the_worker(build.NOW)
    assert fresh(asked).state == State.ASSESS
    assert letters() == []


def test_letter_reaches_what_is_stopped_as_well(stopped: Review, anna: User, dorte: User) -> None:
    with build.as_owner():
        row = build.request_of(anna, Right.REVIEW).rights.get()
    round_of_the_worker(build.NOW)
    assert seen(stopped).asked_at is not None
    assert fresh(row).begun_at == build.NOW


def test_another_organisations_mail_stays_stopped(
    asked: RequestedRight, other_organisation: Organisation, dorte: User
) -> None:
    with build.as_owner():
        theirs = Review.objects.create(
            organisation=other_organisation,
            domain="andet.example",
            opened_at=build.NOW,
            asked_at=build.NOW,
            done=400,
            hard=40,
        )
    with at_the_desk(dorte):
        deciding.decide(asked, State.ACT, dorte, build.NOW)
    assert seen(theirs).decision == Review.Decision.NONE


@pytest.mark.parametrize("role", [Role.VIEWER, Role.PRIVACY])
def test_who_may_not_act_for_the_organisation_stops_and_lifts_nothing(
    stopped: Review, organisation: Organisation, dorte: User, role: Role
) -> None:
    reader = build.person("Rita", "Læser")
    build.member(organisation, reader, role)
    with build.as_owner():
        row = build.request_of(reader, Right.REVIEW).rights.get()
    round_of_the_worker(build.NOW)
    with at_the_desk(dorte):
        deciding.decide(row, State.ACT, dorte, build.NOW)
    assert (seen(stopped).asked_at, seen(stopped).decision) == (None, Review.Decision.NONE)
