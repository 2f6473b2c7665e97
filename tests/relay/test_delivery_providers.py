# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages on their way through a provider, from the queue to its interface and into the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Organisation
from relay import routing
from relay.models import Route
from tests import build
from tests.relay import mail
from tests.relay.stage import WAITING, carry, route
from tests.testbed import esp
from tests.testbed.esp import Answer, Api, Reset
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

ERIK, IDA, BO = "erik@modtager.example", "ida@modtager.example", "bo@skjult.example"
CONTENT = (
    f"From: Post <post@due.example>\r\nTo: {ERIK}, {IDA}\r\nSubject: Rykker\r\n\r\nBetal.\r\n"
).encode()
LOGGED = "SELECT DISTINCT state, possible_duplicate FROM relay_delivery"


def through(house: Organisation, provider: str = "brevo") -> Callable[[int], None]:
    def prepare(port: int) -> None:
        with build.as_owner():
            sealed = routing.seal_secret(house.id, esp.KEY)
        route(house, kind=Route.Kind.ESP, provider=provider, host="", sealed_secret=sealed)

    return prepare


def carried(house: Organisation, api: Api, settings: Any, *recipients: str) -> None:
    settings.RELAY_ESP_URLS = api.urls
    message = mail.message(house.id, *(recipients or (ERIK,)), content=CONTENT)
    far_end = carry(Script(), message, prepare=through(house))
    assert far_end.connections == 0


def test_each_recipient_gets_it_once_and_nobody_sees_who_is_hidden(
    house: Organisation, settings: Any
) -> None:
    with Api() as api:
        carried(house, api, settings, BO, ERIK, IDA)
    assert sorted(sent.to for sent in api.ledger) == [[BO], [ERIK, IDA]]
    assert mail.rows(LOGGED) == [("delivered", False)]
    assert mail.value(WAITING) == 0
    assert mail.value("SELECT count(*) FROM relay_content") == 0


@pytest.mark.behaviour(32)
def test_a_refused_key_pauses_the_route_and_its_mail_waits(
    house: Organisation, settings: Any
) -> None:
    with Api([Answer(401, {"message": "Key not found"})]) as api:
        carried(house, api, settings)
    assert mail.rows("SELECT pause_reason FROM relay_route") == [("sign_in_refused",)]
    assert mail.rows("SELECT reason FROM relay_queueddelivery") == [("sign_in_refused",)]


@pytest.mark.behaviour(33)
def test_an_answer_that_is_lost_is_told_as_a_possible_duplicate(
    house: Organisation, settings: Any
) -> None:
    with Api([Reset(taken=True)]) as api:
        carried(house, api, settings)
    assert len(api.ledger) == 1
    assert mail.rows("SELECT reason, possible_duplicate FROM relay_queueddelivery") == [
        ("uncertain", True)
    ]


def test_too_fast_holds_all_of_it_back_and_uses_up_one_try(
    house: Organisation, settings: Any
) -> None:
    with Api([Answer(429, {"message": "slow down"})]) as api:
        carried(house, api, settings)
    assert api.calls == 1
    assert mail.value(WAITING) == 1


def test_what_the_provider_says_is_logged_without_addresses(
    house: Organisation, settings: Any
) -> None:
    with Api([Answer(400, {"message": f"{ERIK} is not valid"}), None]) as api:
        carried(house, api, settings)
    rows = mail.rows("SELECT reply FROM relay_attempt WHERE verdict = 'bounced'")
    assert rows == [("HTTP 400 *** is not valid",)]
