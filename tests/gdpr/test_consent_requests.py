# SPDX-License-Identifier: AGPL-3.0-or-later
"""A consent that is withdrawn by a request has ended when the request is there (article 7(3))."""

from __future__ import annotations

import pytest

from accounts.models import Consent, User
from accounts.tenancy import person_context
from gdpr import claims, intake, requests, selfservice
from gdpr.models import Request, RequestedRight, Right
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_consents import NEWSLETTER, TRACKING, given
from tests.accounts.test_signup import letters
from tests.gdpr.desk import letter, only_right, round_of_the_worker

pytestmark = pytest.mark.django_db

State = RequestedRight.State


def ended() -> list[tuple[str, str]]:
    with build.as_owner():
        rows = Consent.objects.exclude(withdrawn_at=None).order_by("purpose")
        return list(rows.values_list("purpose", "withdrawn_in"))


ALL_ENDED = [("newsletter", "request"), ("tracking", "request")]


def test_in_the_portal_it_is_done_in_the_act_of_asking(anna: User, clock: Clock) -> None:
    given(anna, NEWSLETTER, TRACKING)
    with person_context(anna.pk):
        made = selfservice.ask(anna, {Right.CONSENT: "", Right.OBJECTION: ""}, clock.now)
        states = {row.right: row.state for row in made.rights.all()}
    assert ended() == ALL_ENDED
    assert states == {Right.CONSENT: State.DONE, Right.OBJECTION: State.ASSESS}
    assert letters()[-1]["to"] == "anna@due.example"


@pytest.mark.parametrize("channel", [Request.Channel.FORM, Request.Channel.STAFF])
def test_by_another_channel_within_the_minute_of_the_proof(
    anna: User, dorte: User, clock: Clock, channel: Request.Channel
) -> None:
    given(anna, NEWSLETTER, TRACKING)
    with build.as_role("duty"):
        if channel == Request.Channel.FORM:
            made = intake.open_proven(
                anna, {Right.CONSENT: ""}, clock.now, channel=channel, received_at=build.NOW,
                by=requests.SERVICE,
            )  # fmt: skip
        else:
            made = intake.enter(letter(Right.CONSENT), dorte, clock.now)
            assert ended() == []
            claims.prove_by_evidence(made, "In person.", dorte, clock.now)
    assert ended() == []
    round_of_the_worker(clock.now)
    assert ended() == ALL_ENDED
    assert only_right(made).state == State.DONE


def test_who_has_given_none_gets_the_same_answer(anna: User, clock: Clock) -> None:
    with person_context(anna.pk):
        made = selfservice.ask(anna, {Right.CONSENT: ""}, clock.now)
        assert made.rights.get().state == State.DONE
