# SPDX-License-Identifier: AGPL-3.0-or-later
"""Routes in their order, which of them carries mail now, and those straight to the recipients."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from accounts.models import Organisation, User
from accounts.tenancy import organisation_context
from relay import routes
from relay.models import Hold, QueuedDelivery, Route, SendingDomain
from relay.smtp.replies import Outcome, Scope, Verdict
from tests import build
from tests.relay import pages
from tests.relay.test_views_routes import (
    DIRECT,
    FIELDS,
    LIST,
    acts,
    due,
    later,
    route,
    stored,
    waiting,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(bo: User) -> Client:
    return pages.signed_in(bo)


def names_in_order(page: Client) -> list[str]:
    """Routes as the list shows them."""
    return re.findall(r"/en/routes/[0-9a-f-]{36}/\">([^<]+)</a></th>", page.get(LIST).text)


def test_routes_are_moved_among_those_that_serve_the_same(
    page: Client, organisation: Organisation
) -> None:
    with build.as_owner():
        domain = SendingDomain.objects.create(
            organisation=organisation, name="due.example", token="x", created_at=build.NOW
        )
    route(organisation, name="apart", domain=domain)
    # All of them have the same place as yet.
    rows = {
        name: route(organisation, name=name, created_at=build.NOW + timedelta(hours=hour))
        for hour, name in enumerate(("first", "second", "third"))
    }
    page.post(f"{LIST}{rows['third'].id}/order/", {"to": "up"})
    assert [name for name in names_in_order(page) if name != "apart"] == [
        *("first", "third", "second")
    ]
    page.post(f"{LIST}{rows['first'].id}/order/", {"to": "down"})
    page.post(f"{LIST}{rows['second'].id}/order/", {"to": "down"})  # the last already
    assert [name for name in names_in_order(page) if name != "apart"] == [
        *("third", "first", "second")
    ]
    with build.as_owner():
        assert Route.objects.get(name="apart").priority == 10
        # How they are reached did not change, so no connection is closed for it.
        assert set(Route.objects.values_list("version", flat=True)) == {1}
    assert acts() == [("route.changed", ["priority"])] * 2


def left_alone(*organisations: Organisation) -> None:
    """Have mail of theirs to a domain kept back, for each reason that there is."""
    with build.as_owner():
        for organisation in organisations:
            for reason in Hold.Reason.values:
                Hold.objects.create(
                    organisation=organisation, reason=reason, held_at=build.NOW, ends_at=later(),
                    domain="due.example @modtager.example",
                )  # fmt: skip
            waiting(organisation, 0, QueuedDelivery.Reason.RESTING)


def let_go(*organisations: Organisation) -> list[tuple[UUID, str]]:
    with build.as_owner():
        held = set(Hold.objects.values_list("organisation_id", "reason"))
    everything = product((one.id for one in organisations), Hold.Reason.values)
    return [one for one in everything if one not in held]


@pytest.mark.behaviour(25)
@pytest.mark.parametrize(
    ("tail", "given", "goes"),
    [
        ("order/", {"to": "up"}, True),
        ("edit/", {"priority": 5}, True),
        ("edit/", {"takes_over": ""}, True),
        ("edit/", {"port": 465}, True),
        ("edit/", {"name": "Other", "rate_per_minute": 60}, False),
        ("pause/", {}, True),
        ("resume/", {}, False),
        ("remove/", {}, True),
    ],
)
def test_what_was_left_alone_goes_when_another_route_may_carry_it(
    page: Client,
    organisation: Organisation,
    other_organisation: Organisation,
    tail: str,
    given: dict[str, Any],
    goes: bool,
) -> None:
    left_alone(organisation, other_organisation)
    route(organisation, name="direct", kind="direct", host="", security="opportunistic", priority=1)
    row = route(organisation, priority=20)
    known = FIELDS | {"username": "", "secret": "", "priority": 20}
    page.post(f"{LIST}{row.id}/{tail}", known | given)
    found = let_go(organisation, other_organisation)
    assert found == ([(organisation.id, "resting")] if goes else [])
    assert due() == int(goes)


@pytest.mark.behaviour(25)
def test_what_was_left_alone_goes_with_a_new_route_and_one_that_works(
    page: Client, organisation: Organisation
) -> None:
    left_alone(organisation)
    page.post(LIST + "new/", FIELDS)
    assert let_go(organisation) == [(organisation.id, "resting")]
    for verdict in (Verdict.RETRY, Verdict.DELIVERED):
        with build.as_owner():
            Hold.objects.all().delete()
        left_alone(organisation)
        with organisation_context(organisation.id):
            routes.note(stored(), Outcome(verdict=verdict, scope=Scope.ROUTE))
        assert bool(let_go(organisation)) is (verdict is Verdict.DELIVERED)


def test_list_and_page_say_which_route_carries_the_mail(
    page: Client, organisation: Organisation
) -> None:
    first = route(organisation, name="first", priority=1)
    second = route(organisation, name="second", priority=2, takes_over=False)

    def states() -> list[str]:
        found = re.findall(r'<span class="state[^"]*">([^<]+)</span>', page.get(LIST).text)
        return found[-2:]

    assert states() == ["in use", "standing by"]
    assert "by <a" not in page.get(f"{LIST}{first.id}/").text
    assert "“first”</a> now" in page.get(f"{LIST}{second.id}/").text
    with build.as_owner():
        Route.objects.filter(pk=first.pk).update(rest_until=later())
    assert states() == ["resting", "standing by"]
    assert "their mail waits" in page.get(f"{LIST}{second.id}/").text
    with build.as_owner():
        Route.objects.filter(pk=second.pk).update(takes_over=True)
    assert states() == ["resting", "in use"]
    text = page.get(f"{LIST}{first.id}/").text
    assert "another route carries it meanwhile" in text
    assert "Mail is accepted and waits" not in text
    assert "“second”</a> now" in page.get(f"{LIST}{first.id}/").text


def test_page_says_how_the_server_was_found_last(page: Client, organisation: Organisation) -> None:
    row = route(organisation)
    path = f"{LIST}{row.id}/"
    assert "not tried yet" in page.get(path).text
    with build.as_owner():
        Route.objects.update(
            failed_at=build.NOW, failed_code=421, failed_enhanced="4.3.2", failed_stage="greeting"
        )
    assert "while waiting for its greeting" in page.get(path).text
    assert "421 4.3.2" in page.get(path).text
    with build.as_owner():
        Route.objects.update(worked_at=build.NOW + timedelta(seconds=1))
    assert "answers since" in page.get(path).text
    # Another server is another story.
    page.post(f"{path}edit/", FIELDS | {"host": "other.due.example"})
    assert "not tried yet" in page.get(path).text


class TestDirect:
    FIELDS = {"name": "Direct", "security": "opportunistic", "priority": 20, "takes_over": "on"}

    @pytest.fixture(autouse=True)
    def _set_up(self, settings) -> None:
        settings.RELAY_DIRECT, settings.RELAY_BOUNCE_DOMAIN = True, "retur.brevdue.example"

    def test_is_offered_saved_and_changed(self, page: Client) -> None:
        assert DIRECT in page.get(LIST).text
        assert "publish first" in page.get(DIRECT).text
        page.post(DIRECT, self.FIELDS)
        row = stored()
        assert (row.kind, row.host, row.username, bytes(row.sealed_secret)) == (
            *("direct", "", "", b""),
        )
        text = page.get(f"{LIST}{row.id}/").text
        assert "straight to the recipients" in text
        assert "Connection test" not in text
        page.post(f"{LIST}{row.id}/edit/", self.FIELDS | {"security": "starttls"})
        assert (stored().security, stored().version) == ("starttls", 2)
        assert page.post(f"{LIST}{row.id}/test/").status_code == 404

    @pytest.mark.parametrize("name", ["RELAY_DIRECT", "RELAY_BOUNCE_DOMAIN"])
    def test_is_neither_offered_nor_saved_where_it_is_not_set_up(
        self, page: Client, settings, name: str
    ) -> None:
        setattr(settings, name, "")
        assert DIRECT not in page.get(LIST).text
        assert "not set up to deliver straight" in page.post(DIRECT, self.FIELDS).text
        with build.as_owner():
            assert not Route.objects.exists()

    def test_asks_for_no_encryption_that_it_cannot_have(self, page: Client) -> None:
        for security in ("tls", "none"):
            response = page.post(DIRECT, self.FIELDS | {"security": security})
            assert "Select a valid choice" in response.text
