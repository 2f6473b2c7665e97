# SPDX-License-Identifier: AGPL-3.0-or-later
"""How a customer's server was found last is kept on its route, where that is news."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Organisation
from relay.health import AGAIN, Health, State
from relay.models import Route
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.transports import RouteTarget
from tests import build
from tests.relay import mail
from tests.relay.stage import WAITING, carry, to_house
from tests.testbed.smtp import Script

TARGET = RouteTarget(route_id=uuid4(), host="mail.due.example", port=587)
NOW = build.NOW


def ended(stage: Stage, **fields: Any) -> Outcome:
    return Outcome(verdict=Verdict.RETRY, scope=Scope.INFRASTRUCTURE, stage=stage, **fields)


DEAD, READY = ended(Stage.CONNECT, enhanced="4.4.1"), ended(Stage.RCPT, code=450)


def test_the_first_answer_is_news_and_the_next_is_not() -> None:
    health = Health()
    assert health.news(TARGET, READY, NOW) == State(at=NOW)
    assert health.news(TARGET, READY, NOW) is None
    # Another process has written it.
    assert Health().news(replace(TARGET, is_proven=True), READY, NOW) is None
    # Of a route that was changed nothing is known.
    assert health.news(replace(TARGET, version=2), READY, NOW) == State(at=NOW)


def test_a_failure_is_news_when_it_is_another_or_a_while_ago() -> None:
    health, proven = Health(), replace(TARGET, is_proven=True)
    first = State(at=NOW, stage=Stage.CONNECT, enhanced="4.4.1")
    assert health.news(proven, DEAD, NOW) == first
    assert health.news(proven, DEAD, NOW + AGAIN - timedelta(seconds=1)) is None
    assert health.news(proven, DEAD, NOW + AGAIN) == replace(first, at=NOW + AGAIN)
    closed = ended(Stage.GREETING, code=421, enhanced="4.3.2")
    assert health.news(proven, closed, NOW + AGAIN) == State(
        at=NOW + AGAIN, stage=Stage.GREETING, code=421, enhanced="4.3.2"
    )
    # What is stored may still say that it works.
    assert health.news(proven, READY, NOW + AGAIN) == State(at=NOW + AGAIN)
    assert health.news(proven, READY, NOW + AGAIN) is None


def test_what_a_message_asks_for_and_other_kinds_of_routes_say_nothing() -> None:
    demanded = replace(TARGET, is_demanded=True)
    assert Health().news(demanded, ended(Stage.STARTTLS), NOW) is None
    assert Health().news(replace(TARGET, kind="direct"), DEAD, NOW) is None


KEPT = (
    "SELECT worked_at IS NOT NULL, failed_at IS NOT NULL, failed_code, failed_enhanced,"
    " failed_stage FROM relay_route"
)


@pytest.mark.django_db(transaction=True)
def test_shift_writes_that_a_server_answers(house: Organisation) -> None:
    carry(Script(), mail.message(house.id), prepare=to_house(house))
    assert mail.rows(KEPT) == [(True, False, 0, "", "")]


@pytest.mark.django_db(transaction=True)
def test_shift_writes_where_it_ended_and_no_words_of_the_server(house: Organisation) -> None:
    script = Script(greeting="554 5.7.1 erik@modtager.example is not you")
    carry(script, mail.message(house.id), prepare=to_house(house, worked_at=build.NOW))
    assert mail.rows(KEPT) == [(True, True, 554, "5.7.1", "greeting")]
    failed, worked = mail.rows("SELECT failed_at, worked_at FROM relay_route")[0]
    assert failed > worked


@pytest.mark.django_db(transaction=True)
def test_route_that_rests_leaves_its_mail_to_one_that_takes_over_alone(
    house: Organisation,
) -> None:
    soon = mail.now() + timedelta(hours=1)

    def prepare(port: int, **fields: Any) -> None:
        to_house(house, priority=1, failures=5, rest_until=soon)(1)
        to_house(house, priority=2, **fields)(port)

    far_end = carry(
        Script(), mail.message(house.id), prepare=lambda port: prepare(port, takes_over=False)
    )
    assert far_end.connections == 0
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("resting", 0)]
    with build.as_owner():
        Route.objects.all().delete()
    far_end = carry(Script(), mail.message(house.id), prepare=prepare, ready=WAITING)
    assert len(far_end.ledger) == 2
