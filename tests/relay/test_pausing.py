# SPDX-License-Identifier: AGPL-3.0-or-later
"""A mail for each pause that the mail path made, to those who can mend it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from accounts import vault
from accounts.models import Organisation, OutgoingMail, Role, User
from relay import pausing
from relay.models import Route
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

REFUSED = Route.PauseReason.SIGN_IN_REFUSED


@pytest.fixture
def route(organisation: Organisation, bo: User) -> Route:
    """A route of Anna's and Bo's organisation, to which a viewer and one who waits belong."""
    build.member(organisation, build.person("Vera", "Kig"), Role.VIEWER)
    waiting = build.person("Ida", "Venter")
    build.member(organisation, waiting, Role.ADMIN, approved_at=None)
    with build.as_owner():
        return Route.objects.create(
            organisation=organisation,
            name="Post & co",
            host="mail.due.example",
            created_at=build.NOW,
        )


def pause(route: Route, hours: int = 0, **fields: Any) -> None:
    values = {"pause_reason": REFUSED, "paused_at": build.NOW + timedelta(hours=hours)} | fields
    with build.as_owner():
        Route.objects.filter(pk=route.pk).update(**values)


def letters() -> list[dict[str, str]]:
    rows = OutgoingMail.objects.filter(kind="route_paused")
    return [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]


def test_owner_and_developer_are_told_once(route: Route) -> None:
    pause(route)
    assert pausing.tell() == 1
    assert {letter["to"] for letter in letters()} == {"anna@due.example", "bo@krog.example"}
    assert all("Post & co" in letter["subject"] for letter in letters())
    assert OutgoingMail.objects.filter(organisation=route.organisation_id).count() == 2
    assert pausing.tell() == 0
    assert len(letters()) == 2


def test_each_pause_is_told_of(route: Route) -> None:
    pause(route)
    pausing.tell()
    pause(route, pause_reason="", paused_at=None)
    assert pausing.tell() == 0
    pause(route, hours=1)
    assert pausing.tell() == 1
    assert len(letters()) == 4


def test_pause_by_a_person_is_no_news(route: Route) -> None:
    pause(route, pause_reason=Route.PauseReason.BY_PERSON)
    assert pausing.tell() == 0
    assert letters() == []


def test_people_who_may_not_sign_in_are_left_alone(route: Route, bo: User) -> None:
    with build.as_owner():
        User.objects.filter(pk=bo.pk).update(is_active=False)
    pause(route)
    pausing.tell()
    assert [letter["to"] for letter in letters()] == ["anna@due.example"]
