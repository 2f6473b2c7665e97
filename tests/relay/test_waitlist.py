# SPDX-License-Identifier: AGPL-3.0-or-later
"""Why mail waits and when it is next: rows, pages and counts, with and without holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Organisation
from accounts.tenancy import organisation_context
from relay import log, reasons, waitlist
from relay.models import Hold, QueuedDelivery, Route, SendingDomain
from relay.reasons import WORDS, Explained
from relay.waitlist import Wanted
from tests import build
from tests.relay.test_log import NOW, message

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DUE = NOW + HOUR


@pytest.fixture(autouse=True)
def _context(organisation: Organisation) -> Iterator[None]:
    with build.as_owner():
        Organisation.objects.update(sending_allowed=True)
        Route.objects.create(organisation=organisation, host="a.example", created_at=NOW)
    with organisation_context(organisation.id):
        yield


def hold(organisation: Organisation, **values: Any) -> None:
    with build.as_owner():
        Hold.objects.create(organisation=organisation, held_at=NOW, **values)


def change(**values: Any) -> None:
    with build.as_owner():
        QueuedDelivery.objects.update(**values)


def told(one: Explained) -> tuple[str, Any]:
    return one.why, one.next_at


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(
    ("row", "holds", "expected"),
    [
        ({}, [], ("deferred", DUE)),
        ({}, [{}], ("held", None)),
        ({}, [{"ends_at": NOW - HOUR}], ("deferred", DUE)),
        ({}, [{"domain": "due.example"}], ("held", None)),
        ({}, [{"domain": "andet.example"}], ("deferred", DUE)),
        ({}, [{"domain": "@modtager.example"}], ("held", None)),
        ({}, [{"domain": "@due.example"}], ("deferred", DUE)),
        ({}, [{"domain": "@tager.example"}], ("deferred", DUE)),
        ({}, [{"reason": "over_quota", "ends_at": NOW + 5 * HOUR}], ("over_quota", NOW + 5 * HOUR)),
        ({}, [{"reason": "over_quota", "ends_at": NOW + HOUR / 2}], ("over_quota", DUE)),
        (
            {},
            [{"reason": "paced", "domain": "due.example", "ends_at": NOW + 2 * HOUR}],
            ("paced", NOW + 2 * HOUR),
        ),
        ({}, [{"reason": "paced", "domain": "x.example"}], ("deferred", DUE)),
        ({}, [{"reason": "over_quota", "ends_at": DUE}, {}], ("held", None)),
        ({"lane": 2, "reason": "quarantined"}, [{}], ("quarantined", DUE)),
        ({"lane": 2, "cancelled_at": NOW}, [{}], ("cancelled", NOW)),
    ],
)
def test_reason_and_next_time_are_the_same_wherever_they_are_told(
    organisation: Organisation, row: dict[str, Any], holds: list[dict[str, Any]], expected: Any
) -> None:
    made = message(organisation, "erik@x.example@Modtager.example")
    change(domain="due.example", **row)
    for values in holds:
        hold(organisation, **values)
    ((one,), _) = waitlist.listed(organisation.id, Wanted(), NOW)
    assert told(one) == expected
    timeline = log.timeline(organisation.id, made.id, NOW)
    assert timeline is not None
    assert timeline.tracks[0].waiting is not None
    assert told(timeline.tracks[0].waiting) == expected
    (count,) = waitlist.counts(organisation.id, NOW).reasons
    assert (count.value, count.count, count.next_at) == (expected[0], 1, expected[1])
    for why in WORDS:
        found, _ = waitlist.listed(organisation.id, Wanted(why=why), NOW)
        assert len(found) == (why == expected[0])


def route(organisation: Organisation, domain: str = "", **values: Any) -> None:
    with build.as_owner():
        of: dict[str, Any] = {"organisation": organisation, "created_at": NOW}
        served = domain and SendingDomain.objects.get_or_create(**of, name=domain, token="x")[0]
        Route.objects.create(**of, host="b.example", domain=served or None, **values)


RESTS = NOW + 3 * HOUR


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([], ("no_route", None)),
        ([{"paused_at": NOW}], ("route_paused", None)),
        (
            [{"paused_at": NOW, "pause_reason": "sign_in_refused"}],
            ("sign_in_refused", None),
        ),
        ([{"rest_until": RESTS}], ("resting", RESTS)),
        ([{"rest_until": NOW + HOUR / 2}], ("resting", DUE)),
        ([{"rest_until": NOW}], ("deferred", DUE)),
        ([{"paused_at": NOW, "priority": 1}, {}], ("deferred", DUE)),
        ([{"paused_at": NOW}, {"rest_until": RESTS, "priority": 1}], ("resting", RESTS)),
        ([{"rest_until": RESTS, "priority": 1}, {}], ("deferred", DUE)),
        ([{"rest_until": RESTS, "priority": 1}, {"takes_over": False}], ("resting", RESTS)),
        (
            [{"rest_until": RESTS, "priority": 1}, {"takes_over": False}, {"priority": 20}],
            ("deferred", DUE),
        ),
        ([{"paused_at": NOW, "priority": 1}, {"takes_over": False}], ("deferred", DUE)),
        ([{"paused_at": NOW, "domain": "due.example"}, {}], ("route_paused", None)),
        ([{"paused_at": NOW}, {"domain": "due.example"}], ("deferred", DUE)),
        ([{"paused_at": NOW}, {"domain": "e.example"}], ("route_paused", None)),
        (
            [{"paused_at": NOW, "domain": "post.due.example"}, {"domain": "due.example"}],
            ("route_paused", None),
        ),
    ],
)
def test_route_that_takes_nothing_is_the_reason(
    organisation: Organisation, routes: list[dict[str, Any]], expected: Any
) -> None:
    with build.as_owner():
        Route.objects.all().delete()
    message(organisation, "erik@modtager.example")
    change(domain="post.due.example")
    for values in routes:
        route(organisation, **values)
    ((one,), _) = waitlist.listed(organisation.id, Wanted(), NOW)
    assert told(one) == expected
    (count,) = waitlist.counts(organisation.id, NOW).reasons
    assert (count.value, count.next_at) == expected
    change(domain="")
    ((one,), _) = waitlist.listed(organisation.id, Wanted(), NOW)
    assert told(one) == ("deferred", DUE)


@pytest.mark.parametrize("values", [{"sending_allowed": False}, {"standing": "suspended"}])
def test_stopped_organisation_says_so(organisation: Organisation, values: dict[str, Any]) -> None:
    message(organisation, "erik@modtager.example")
    change(domain="due.example")
    with build.as_owner():
        Organisation.objects.update(**values)
    ((one,), _) = waitlist.listed(organisation.id, Wanted(), NOW)
    assert told(one) == ("stopped", None)


@pytest.mark.behaviour(26)
def test_hold_on_one_message_is_about_no_other(organisation: Organisation) -> None:
    made, other = (message(organisation, "erik@modtager.example", ago=n) for n in range(2))
    hold(organisation, message_id=made.id)
    assert told(reasons.of_message(organisation.id, made.id, NOW)[0]) == ("held", None)
    assert told(reasons.of_message(organisation.id, other.id, NOW)[0]) == ("deferred", DUE)


def test_another_organisation_sees_nothing(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    with organisation_context(other_organisation.id):
        for owner in (organisation.id, other_organisation.id):
            assert waitlist.listed(owner, Wanted(), NOW) == ([], None)
            assert waitlist.counts(owner, NOW).total == 0
            assert reasons.of_message(owner, made.id, NOW) == {}


def test_another_organisations_hold_holds_nothing(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    message(organisation, "erik@modtager.example")
    for values in ({}, {"domain": "@modtager.example"}, {"reason": "over_quota"}):
        hold(other_organisation, **values)
    with build.as_role("relay"):
        ((one,), _) = waitlist.listed(organisation.id, Wanted(), NOW)
    assert told(one) == ("deferred", DUE)


def test_pages_are_of_what_is_wanted_and_go_on_where_the_look_ended(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitlist, "LOOKED_THROUGH", 4)
    for number in range(9):
        message(organisation, f"r@{'a' if number % 4 else 'b'}.example", ago=9 - number)
    seen, looks, after = [], 0, None
    while True:
        rows, after = waitlist.listed(organisation.id, Wanted(to="b.example"), NOW, after, size=2)
        seen += [one.row.recipient for one in rows]
        looks += 1
        if after is None:
            break
    assert (seen, looks) == (["r@b.example"] * 3, 3)


def test_each_row_stands_on_one_page(organisation: Organisation) -> None:
    message(organisation, *(f"r{n}@modtager.example" for n in range(5)))
    seen, place = [], None
    while True:
        rows, place = waitlist.listed(organisation.id, Wanted(), NOW, place, size=2)
        seen += [one.row.position for one in rows]
        if place is None:
            break
    assert seen == [0, 1, 2, 3, 4]


def test_counts_are_bounded_and_never_old(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waitlist, "COUNTED_MOST", 4)
    message(organisation, "a@x.example", "b@y.example")
    assert waitlist.counts(organisation.id, NOW).total == 2
    message(organisation, "c@y.example", ago=5)
    counts = waitlist.counts(organisation.id, NOW)
    assert (counts.total, counts.is_all, counts.of("deferred")) == (3, True, 3)
    assert [(one.value, one.count) for one in counts.destinations] == [
        ("y.example", 2),
        ("x.example", 1),
    ]
    message(organisation, "d@x.example", "e@x.example")
    counts = waitlist.counts(organisation.id, NOW)
    assert (counts.total, counts.is_all) == (4, False)
