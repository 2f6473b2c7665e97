# SPDX-License-Identifier: AGPL-3.0-or-later
"""An answer is looked at again by somebody else, on a clock of its own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from accounts.models import Alert, User
from accounts.tenancy import person_context
from gdpr import deadlines, deciding, requests, secondlooks
from gdpr.models import Package, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.gdpr.desk import at_the_desk, fresh, round_of_the_worker

pytestmark = pytest.mark.django_db

State = RequestedRight.State


@pytest.fixture
def refused(anna: User, dorte: User, clock: Clock) -> RequestedRight:
    """Anna's request, which Dorte has refused."""
    with person_context(anna.pk):
        row = requests.open_by_person(anna, {Right.OBJECTION: "x"}, build.NOW).rights.get()
    with at_the_desk(dorte):
        deciding.decide(row, State.REFUSED, dorte, build.NOW, reason="Needed for a claim.")
    return fresh(row)


def look(row: RequestedRight, person: User, clock: Clock) -> RequestedRight:
    with person_context(person.pk):
        return secondlooks.ask(row, person, "The claim was settled.", clock.now)


def test_clock_counts_from_the_question(refused: RequestedRight, anna: User, clock: Clock) -> None:
    clock.forward(days=40)
    second = look(refused, anna, clock)
    assert second.promised_on == deadlines.clock(clock.now, clock.now).promised_on
    assert (second.state, second.details) == (State.ASSESS, "The claim was settled.")
    assert second.request_id != refused.request_id
    assert fresh(refused).state == State.REFUSED


def test_first_decider_decides_nothing_of_it(
    refused: RequestedRight, anna: User, dorte: User, clock: Clock
) -> None:
    second = look(refused, anna, clock)
    other = build.person("Egon", "Ret", is_staff=True, is_superuser=True)
    with at_the_desk(dorte), pytest.raises(secondlooks.SameDecider):
        deciding.decide(second, State.REFUSED, dorte, clock.now, reason="Still.")
    with at_the_desk(other):
        deciding.decide(second, State.REFUSED, other, clock.now, reason="It stands.")
    assert fresh(second).state == State.REFUSED


def test_deputy_decides_where_there_is_one_officer(
    refused: RequestedRight, anna: User, clock: Clock, settings: Settings
) -> None:
    second = look(refused, anna, clock)
    round_of_the_worker(clock.now)
    with build.as_owner():
        assert Alert.objects.get(kind=secondlooks.ALERT).subject == str(second.pk)
    deputy = build.person("Dagny", "Vikar", is_staff=True)
    settings.PRIVACY_DEPUTY = deputy.email
    round_of_the_worker(clock.now)
    with build.as_owner():
        assert Alert.objects.get(kind=secondlooks.ALERT).resolved_at is not None
    with at_the_desk(deputy):
        deciding.decide(second, State.ACT, deputy, clock.now)
        deciding.decide(second, State.DONE, deputy, clock.now, reason="It is done now.")
    assert fresh(second).state == State.DONE


def test_it_is_asked_for_once_and_about_an_answer(
    refused: RequestedRight, anna: User, clock: Clock
) -> None:
    second = look(refused, anna, clock)
    for row in (refused, second):
        with pytest.raises(requests.IllegalMove):
            look(fresh(row), anna, clock)
    with person_context(anna.pk):
        open_row = requests.open_by_person(anna, {Right.CONSENT: ""}, clock.now).rights.get()
        requests.move(open_row, State.WITHDRAWN, requests.person(anna), clock.now)
        with pytest.raises(requests.IllegalMove):
            secondlooks.ask(open_row, anna, "x", clock.now)


def test_package_is_made_anew_when_the_second_look_says_so(
    anna: User, dorte: User, clock: Clock
) -> None:
    with build.as_owner():
        row = build.request_of(anna, Right.ACCESS).rights.get()
    with at_the_desk(dorte):
        deciding.decide(row, State.REFUSED, dorte, clock.now, reason="Asked too often.")
    second = look(fresh(row), anna, clock)
    round_of_the_worker(clock.now)
    with build.as_owner():
        assert not Package.objects.exists()
    other = build.person("Egon", "Ret", is_staff=True, is_superuser=True)
    with at_the_desk(other):
        deciding.decide(second, State.ACT, other, clock.now)
    round_of_the_worker(clock.now + timedelta(minutes=1))
    with build.as_owner():
        assert Package.objects.get().right_id == second.pk


def test_first_request_may_be_forgotten_before_the_second(
    refused: RequestedRight, anna: User, clock: Clock
) -> None:
    second = look(refused, anna, clock)
    with build.as_role("duty"):
        refused.request.delete()
    assert fresh(second).second_look_of_id is None
