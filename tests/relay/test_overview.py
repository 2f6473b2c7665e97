# SPDX-License-Identifier: AGPL-3.0-or-later
"""The command `relay_queue`."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from accounts import clock
from accounts.models import Organisation
from relay.models import Hold, QueuedDelivery, Route
from tests import build
from tests.relay.test_log import NOW, message

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("relay")]


def told(*options: str) -> str:
    out = StringIO()
    call_command("relay_queue", *options, stdout=out)
    return out.getvalue()


@pytest.mark.behaviour(26)
def test_relay_queue_tells_the_figures(
    organisation: Organisation, other_organisation: Organisation, settings: Settings
) -> None:
    settings.DATABASE_ROLE = "relay"
    message(organisation, "erik@modtager.example", "ida@Modtager.example", "ole@andet.example")
    message(other_organisation, "ole@modtager.example", "pia@modtager.example", ago=60)
    with build.as_owner():
        QueuedDelivery.objects.filter(position=1).update(due_at=NOW - timedelta(minutes=1))
        QueuedDelivery.objects.filter(position=2).update(lane=2, reason="quarantined")
        Hold.objects.create(organisation=other_organisation, held_at=NOW)
    seen = json.loads(told("--json"))
    assert (seen["waiting"], seen["leased"], seen["due"]) == (5, 0, 1)
    assert {state: part["waiting"] for state, part in seen["states"].items()} == {
        "held": 2, "due": 1, "later": 1, "set_aside": 1,
    }  # fmt: skip
    assert {why: part["waiting"] for why, part in seen["reasons"].items()} == {
        "held": 2, "deferred": 2, "quarantined": 1,
    }  # fmt: skip
    assert {name: part["waiting"] for name, part in seen["domains"].items()} == {
        "modtager.example": 4, "andet.example": 1,
    }  # fmt: skip
    assert [one["waiting"] for one in seen["organisations"]] == [3, 2]
    oldest = seen["organisations"][1]["oldest_accepted_at"]
    assert oldest == seen["oldest_accepted_at"] == seen["states"]["held"]["oldest_accepted_at"]
    assert oldest == seen["domains"]["modtager.example"]["oldest_accepted_at"]
    assert oldest < seen["reasons"]["deferred"]["oldest_accepted_at"]
    plain = told()
    assert "waiting 5  leased 0  due 1" in plain
    assert "@" not in plain + told("--json")
    assert all(f"  {word} " in plain for word in ("set_aside", "quarantined", "andet.example"))


def test_mail_that_no_route_takes_is_not_due(
    organisation: Organisation, settings: Settings
) -> None:
    settings.DATABASE_ROLE = "relay"
    message(organisation, "erik@modtager.example", "ida@modtager.example")
    with build.as_owner():
        Organisation.objects.update(sending_allowed=True)
        QueuedDelivery.objects.update(due_at=NOW - timedelta(minutes=1))
        QueuedDelivery.objects.filter(position=1).update(domain="due.example")
    seen = json.loads(told("--json"))
    assert {state: part["waiting"] for state, part in seen["states"].items()} == {
        "due": 1, "held": 1,
    }  # fmt: skip
    assert set(seen["reasons"]) == {"deferred", "no_route"}


def test_relay_queue_of_an_empty_queue(db: None, settings: Settings) -> None:
    settings.DATABASE_ROLE = "relay"
    assert told().splitlines()[0] == "waiting 0  leased 0  due 0"
    assert json.loads(told("--json"))["oldest_accepted_at"] is None


def test_relay_queue_tells_which_servers_are_left_alone(
    organisation: Organisation, other_organisation: Organisation, settings: Settings
) -> None:
    settings.DATABASE_ROLE = "relay"
    until = clock.now() + timedelta(minutes=4)
    with build.as_owner():
        rests, _, _ = (
            Route.objects.create(
                organisation=house, name="Exchange", host="mail.due.example", failures=9,
                rest_until=rest_until, created_at=NOW,
            )
            for house, rest_until in (
                (organisation, until), (other_organisation, None), (other_organisation, NOW)
            )
        )  # fmt: skip
    (row,) = json.loads(told("--json"))["resting"]
    assert row == {
        "organisation_id": str(organisation.id), "route_id": str(rests.id), "failures": 9,
        "rest_until": until.isoformat(),
    }  # fmt: skip
    assert f"route {rests.id} rests until {until:%Y-%m-%d %H:%M:%S} UTC" in told()
