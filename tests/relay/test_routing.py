# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections

from accounts import vault
from accounts.tenancy import organisation_context
from relay.models import Route, SendingDomain
from relay.routing import Reason, RouteFacts, Routes, Waits, choose, seal_secret
from relay.transports import RouteTarget
from tests import build
from tests.relay import mail
from tests.relay.stage import route

GENERAL = {"may_send": True, "id": uuid4(), "host": "general.example"}
NAMED = {"may_send": True, "id": uuid4(), "host": "named.example", "domain": "due.example"}
BELOW = {"may_send": True, "id": uuid4(), "host": "below.example", "domain": "news.due.example"}
SECOND, THIRD = GENERAL | {"host": "second.example"}, GENERAL | {"host": "third.example"}
WAITS = {"takes_over": False}
PAUSED = {"paused": True, "pause_reason": "by_person"}
REFUSED = {"paused": True, "pause_reason": "sign_in_refused"}
RESTING = {"failures": 5, "rest_until": build.NOW + timedelta(seconds=30)}
RESTED = {"failures": 5, "rest_until": build.NOW}
PAUSED_BY_PERSON = {"paused_at": build.NOW, "pause_reason": Route.PauseReason.BY_PERSON}
NOBODY: dict[str, Any] = {"may_send": True, "id": None}


@pytest.mark.parametrize(
    ("routes", "domain", "expected"),
    [
        ([GENERAL], "due.example", "general.example"),
        ([GENERAL, NAMED], "due.example", "named.example"),
        ([GENERAL, NAMED], "DUE.example", "named.example"),
        ([GENERAL, NAMED], "www.due.example", "named.example"),
        ([NAMED, BELOW], "news.due.example", "below.example"),
        ([GENERAL, NAMED], "fordue.example", "general.example"),
        ([NAMED], "andre.example", "no_route"),
        ([NOBODY], "due.example", "no_route"),
        ([], "due.example", "stopped"),
        ([GENERAL | {"may_send": False}], "due.example", "stopped"),
        ([GENERAL | PAUSED], "due.example", "route_paused"),
        ([GENERAL | REFUSED], "due.example", "sign_in_refused"),
        ([GENERAL | PAUSED, SECOND], "x.example", "second.example"),
        ([GENERAL, NAMED | PAUSED], "due.example", "route_paused"),
        ([GENERAL | RESTING], "due.example", "resting"),
        ([GENERAL | RESTED], "due.example", "general.example"),
        ([GENERAL | RESTING, SECOND], "x.example", "second.example"),
        ([GENERAL, NAMED | RESTING], "due.example", "resting"),
        ([GENERAL | RESTING, SECOND | WAITS], "x.example", "resting"),
        ([GENERAL | PAUSED, SECOND | WAITS], "x.example", "second.example"),
        ([GENERAL | RESTING, SECOND | WAITS, THIRD], "x.example", "third.example"),
        ([GENERAL | PAUSED, SECOND | RESTING, THIRD | WAITS], "x.example", "resting"),
        ([GENERAL | PAUSED, SECOND | RESTING, THIRD], "x.example", "third.example"),
        ([GENERAL | RESTING, SECOND | RESTING], "x.example", "resting"),
        ([GENERAL | PAUSED, SECOND | RESTING], "x.example", "resting"),
        ([GENERAL | RESTING | PAUSED], "due.example", "route_paused"),
    ],
)
def test_route_is_chosen_by_domain_then_order(
    routes: list[dict[str, Any]], domain: str, expected: str
) -> None:
    chosen = choose([RouteFacts(**route) for route in routes], domain, build.NOW)
    assert (chosen.reason if isinstance(chosen, Waits) else chosen.host) == expected


async def cut_other_connections() -> None:
    async with await mail.session() as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_costs_a_moment_not_the_lease() -> None:
    house = mail.organisation()

    async def scenario() -> Waits | RouteTarget:
        instants = iter([mail.now(), mail.now() + timedelta(seconds=9)] * 4)
        routes = Routes(mail.dsn(), lambda: next(instants))
        await routes.target(house.id, "due.example")
        await cut_other_connections()
        try:
            return await routes.target(house.id, "due.example")
        finally:
            await routes.close()

    assert mail.run(scenario()) == Waits(reason=Reason.NO_ROUTE)


def mend(change: str) -> None:
    try:
        mail.execute(f"UPDATE relay_route SET {change}")
    finally:
        connections.close_all()  # this thread's own


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["paused_at = NULL, pause_reason = ''", "domain_id = NULL"])
def test_what_a_person_mends_counts_for_the_next_message(change: str) -> None:
    house = mail.organisation()
    with build.as_owner():
        other = SendingDomain.objects.create(
            organisation=house, name="andet.example", token="x", created_at=build.NOW
        )
    fields = {"domain": other} if "domain" in change else PAUSED_BY_PERSON
    route(house, **fields)

    async def scenario() -> list[Waits | RouteTarget]:
        routes = Routes(mail.dsn(), mail.now)
        try:
            before = await routes.target(house.id, "due.example")
            await asyncio.to_thread(mend, change)
            return [before, await routes.target(house.id, "due.example")]
        finally:
            await routes.close()

    before, after = mail.run(scenario())
    assert isinstance(before, Waits)
    assert isinstance(after, RouteTarget)


@pytest.mark.django_db(transaction=True)
def test_many_messages_without_a_route_ask_only_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = mail.organisation()
    route(house, **PAUSED_BY_PERSON)
    readings = []
    read = Routes._read

    async def counted(self: Routes, *arguments: Any) -> list[RouteFacts]:
        readings.append(1)
        return await read(self, *arguments)

    monkeypatch.setattr(Routes, "_read", counted)

    async def scenario() -> None:
        routes = Routes(mail.dsn(), mail.now)
        try:
            await asyncio.gather(*(routes.target(house.id, "due.example") for _ in range(50)))
        finally:
            await routes.close()

    mail.run(scenario())
    assert len(readings) < 10


@pytest.mark.django_db(transaction=True)
def test_a_pause_waits_for_a_database_that_is_away() -> None:
    house = mail.organisation()
    made = route(house)

    async def scenario() -> None:
        routes = Routes(mail.dsn(), mail.now)
        target = await routes.target(house.id, "due.example")
        assert isinstance(target, RouteTarget)
        await cut_other_connections()
        try:
            await routes.pause(target, Route.PauseReason.SIGN_IN_REFUSED)
        finally:
            await routes.close()

    mail.run(scenario())
    assert mail.rows("SELECT id, pause_reason FROM relay_route") == [(made, "sign_in_refused")]


@pytest.mark.django_db(transaction=True)
def test_a_secret_is_opened_once_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    house = mail.organisation()
    with organisation_context(house.id):
        route(house, username="due", sealed_secret=seal_secret(house.id, "hemmelig"))
    monkeypatch.setattr(vault, "_organisation_keys", {})
    settings = connections.databases["default"]
    # Only new connections notice: the vault's, in a thread of its own.
    away, port = monkeypatch.setitem, settings["PORT"]
    away(settings, "PORT", "1")

    async def scenario() -> Waits | RouteTarget:
        routes = Routes(mail.dsn(), mail.now)
        try:
            asking = asyncio.create_task(routes.target(house.id, "due.example"))
            await asyncio.sleep(1)
            assert not asking.done()
            away(settings, "PORT", port)
            return await asking
        finally:
            await routes.close()

    target = mail.run(scenario())
    assert isinstance(target, RouteTarget)
    assert target.password == "hemmelig"


@pytest.mark.behaviour(26)
@pytest.mark.django_db(transaction=True)
def test_a_route_that_was_changed_meanwhile_is_not_paused() -> None:
    house = mail.organisation()
    route(house)

    async def scenario() -> None:
        routes = Routes(mail.dsn(), mail.now)
        target = await routes.target(house.id, "due.example")
        assert isinstance(target, RouteTarget)
        await asyncio.to_thread(mend, "version = version + 1")
        await routes.pause(target, Route.PauseReason.SIGN_IN_REFUSED)
        await routes.close()

    mail.run(scenario())
    assert mail.rows("SELECT paused_at, pause_reason FROM relay_route") == [(None, "")]
