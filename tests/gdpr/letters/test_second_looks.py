# SPDX-License-Identifier: AGPL-3.0-or-later
"""An answer is looked at again by somebody else: the page to ask on, and the letters of it."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from accounts import vault
from accounts.models import OutgoingMail, User
from gdpr import deciding
from gdpr.letters.filling import Incomplete
from gdpr.models import Letter, RequestedRight, Right
from gdpr.secondlooks import SameDecider
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.visiting import at, visit
from tests.gdpr.desk import letters_leave

pytestmark = pytest.mark.django_db

State = RequestedRight.State
WHY = "The data are needed for a claim that is before the court."


@pytest.fixture
def answered(anna: User, dorte: User, clock: Clock) -> RequestedRight:
    """Refused by Dorte."""
    with build.as_owner():
        right = build.request_of(anna, Right.OBJECTION).rights.get()
        deciding.decide(right, State.REFUSED, dorte, clock.now, reason=WHY)
        OutgoingMail.objects.all().delete()
    return right


@pytest.fixture
def here(anna: User, clock: Clock) -> Client:
    return visit(anna)


@pytest.fixture
def second(here: Client, answered: RequestedRight) -> RequestedRight:
    here.post(page(answered), {"words": "The claim is decided."})
    with build.as_owner():
        return RequestedRight.objects.get(second_look_of=answered)


@pytest.fixture
def hans() -> User:
    """A colleague of Dorte's."""
    return build.person("Hans", "Drift", is_staff=True, is_superuser=True)


def page(row: RequestedRight) -> str:
    return at("gdpr:second-look", row.request_id, row.right)


def mailed() -> dict[str, str]:
    with build.as_owner():
        row = OutgoingMail.objects.latest("created_at")
    letter: dict[str, str] = json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed))
    return letter


def decide(row: RequestedRight, what: str, by: User, clock: Clock, reason: str = WHY) -> None:
    # The first answer's letter goes first.
    letters_leave()
    with build.as_owner():
        row.refresh_from_db()
        OutgoingMail.objects.all().delete()
        deciding.decide(row, what, by, clock.now, reason=reason)
    letters_leave()


def test_person_asks_and_hears_until_when(here: Client, answered: RequestedRight) -> None:
    assert page(answered) in here.get(at("gdpr:request", answered.request_id)).text
    assert here.get(page(answered)).status_code == 200
    answer = here.post(page(answered), {"words": "The claim is decided."}, follow=True)
    with build.as_owner():
        second = RequestedRight.objects.get(second_look_of=answered)
    assert answer.redirect_chain == [(at("gdpr:request", second.request_id), 302)]
    assert answered.request.reference in answer.text
    assert "The claim is decided." in answer.text
    text = mailed()["text"]
    for words in (answered.request.reference, "20. december 2026", "Datatilsynet", "domstolene"):
        assert words in text


def test_once_is_enough(here: Client, answered: RequestedRight, second: RequestedRight) -> None:
    answer = here.post(page(answered), {}, follow=True)
    assert "Only an answer can be looked at again, and once." in answer.text
    assert page(answered) not in answer.text
    assert here.get(page(second)).status_code == 302
    with build.as_owner():
        assert RequestedRight.objects.filter(second_look_of=answered).count() == 1


def test_what_is_not_answered_is_not_looked_at_again(here: Client, anna: User) -> None:
    with build.as_owner():
        right = build.request_of(anna, Right.RESTRICTION).rights.get()
    assert "Only an answer" in here.post(page(right), {}, follow=True).text


def test_nobody_else_asks(carl: User, answered: RequestedRight) -> None:
    assert visit(carl).post(page(answered), {}).status_code == 404


def test_same_person_cannot_decide_again(second: RequestedRight, dorte: User, clock: Clock) -> None:
    with pytest.raises(SameDecider):
        decide(second, State.REFUSED, dorte, clock)
    with build.as_owner():
        assert not OutgoingMail.objects.exists()


def test_answer_that_stands_is_a_sealed_letter(
    second: RequestedRight, answered: RequestedRight, hans: User, clock: Clock
) -> None:
    decide(second, State.REFUSED, hans, clock)
    letter = mailed()
    for words in ("står ved magt", answered.request.reference, WHY, "Datatilsynet", "domstolene"):
        assert words in letter["text"]
    # The authority and the courts come next.
    assert "/second-look/" not in letter["text"]
    with build.as_owner():
        assert Letter.objects.get(right=second).kind == "second-look-upheld"


def test_changed_answer_says_what_is_done(second: RequestedRight, hans: User, clock: Clock) -> None:
    decide(second, State.ACT, hans, clock, reason="")
    with pytest.raises(Incomplete, match="the reasons"):
        decide(second, State.DONE, hans, clock, reason="")
    decide(second, State.DONE, hans, clock, reason="We have stopped it today.")
    letter = mailed()
    for words in ("Svaret er ændret", "We have stopped it today.", "Datatilsynet"):
        assert words in letter["text"]


def test_second_look_is_no_abuse_and_costs_nothing(second: RequestedRight, clock: Clock) -> None:
    with build.as_owner():
        offered = deciding.moves(second, clock.now)
    assert State.REFUSED in offered
    assert not offered.keys() & deciding.ABUSES
