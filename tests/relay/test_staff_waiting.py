# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting mail as staff see it: release of what was set aside, holds, quotas."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts import clock
from accounts.models import AuditEvent, Organisation, User
from accounts.tenancy import organisation_context, staff_context
from relay.models import Hold, QueuedDelivery, Quota
from tests import build
from tests.accounts.test_staffsite import verified
from tests.relay.test_log import NOW, message

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(dorte: User) -> Client:
    return verified(dorte)


def address(name: str, *args: object) -> str:
    with override("en"):
        return reverse(f"admin:relay_{name}", args=args)


def recorded() -> list[tuple[str, list[str]]]:
    with build.as_owner():
        rows = AuditEvent.objects.filter(action__regex="^(queueddelivery|quota)").order_by("id")
        return [(row.action, sorted(row.fields)) for row in rows]


def set_aside(organisation: Organisation) -> QueuedDelivery:
    message(organisation, "erik@modtager.example", "ida@modtager.example", "ole@modtager.example")
    with build.as_owner():
        rows = QueuedDelivery.objects.filter(position__lt=2)
        rows.update(reason="quarantined", lane=2, strikes=3, due_at=NOW)
        return rows.get(position=0)


@pytest.mark.behaviour(26)
def test_what_was_set_aside_is_released_with_a_reason(
    page: Client, organisation: Organisation
) -> None:
    row = set_aside(organisation)
    listed = page.get(address("queueddelivery_changelist"), {"reason__exact": "quarantined"}).text
    assert [listed.count(f"{first}•••@modtager.example") for first in "eio"] == [1, 1, 0]
    path = address("queueddelivery_release", row.pk)
    assert path in page.get(address("queueddelivery_change", row.pk)).text
    assert "It is tried again, because" in page.get(path).text
    assert page.post(path).status_code == 200
    assert page.post(path, {"because": "whim"}).status_code == 200
    assert recorded() == []
    told = page.post(path, {"because": "mended"}, follow=True)
    assert "2 deliveries are tried now" in told.text
    with build.as_owner():
        rows = list(QueuedDelivery.objects.order_by("position"))
    assert [(one.reason, one.lane, one.strikes) for one in rows] == [
        ("new", 1, 0),
        ("new", 1, 0),
        ("deferred", 0, 0),
    ]
    assert [one.due_at <= clock.now() for one in rows] == [True, True, False]
    assert recorded() == [("queueddelivery.released", ["because-mended"])]
    assert "None of it is set aside any more" in page.post(path, {"because": "mended"}).text
    assert len(recorded()) == 1


def test_what_ended_or_is_in_hand_is_not_released(page: Client, organisation: Organisation) -> None:
    row = set_aside(organisation)
    path = address("queueddelivery_release", row.pk)
    for values in (
        {"cancelled_at": NOW},
        {"cancelled_at": None, "expires_at": NOW},
        {"expires_at": row.expires_at, "lease_owner": organisation.id},
    ):
        with build.as_owner():
            QueuedDelivery.objects.update(**values)
        assert "None of it is set aside any more" in page.post(path, {"because": "asked"}).text


def test_staff_alone_may_release_and_write_nothing_else(organisation: Organisation) -> None:
    row = set_aside(organisation)
    call = "SELECT relay_release_quarantined(%s, now())"

    def refused(statement: str, *values: Any) -> bool:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement, values)
        except ProgrammingError:
            return True
        return False

    assert refused(call, row.message_id)
    for role in ("relay", "duty"):
        with build.as_role(role):
            assert refused(call, row.message_id)
    with staff_context():
        assert refused("UPDATE relay_queueddelivery SET strikes = 0")
        assert refused("SELECT ciphertext FROM relay_content")
        assert refused("UPDATE relay_hold SET ends_at = now()")
        assert not refused(call, row.message_id)


@pytest.mark.parametrize("reason", ["over_quota", "paced"])
def test_portal_lifts_no_hold_of_the_service(organisation: Organisation, reason: str) -> None:
    def written(statement: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)

    with build.as_owner():
        for why in (reason, "held"):
            Hold.objects.create(organisation=organisation, held_at=NOW, reason=why)
    with organisation_context(organisation.id):
        assert Hold.objects.count() == 2
        assert written("UPDATE relay_hold SET ends_at = now()") == 1
        assert written("DELETE FROM relay_hold") == 1
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Hold.objects.create(
                organisation=organisation, held_at=NOW, reason=reason, domain="a.example"
            )
    with build.as_owner():
        assert Hold.objects.get().reason == reason


def test_staff_see_what_is_held_and_by_what(page: Client, organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    with build.as_owner():
        for values in (
            {"message_id": made.id},
            {"domain": "@modtager.example"},
            {"domain": "due.example"},
            {"domain": "andet.example @tredje.example"},
            {},
        ):
            Hold.objects.create(organisation=organisation, held_at=NOW, **values)
    text = page.get(address("hold_changelist")).text
    both = "from andet.example to tredje.example"
    for words in (str(made.id), "to modtager.example", "from due.example", both, "all of it"):
        assert words in text
    assert page.get(address("hold_add")).status_code == 403


def test_quota_is_set_and_changed_with_its_event(page: Client, organisation: Organisation) -> None:
    add = address("quota_add")
    values = {"organisation": str(organisation.id), "messages_an_hour": "100", "messages_a_day": ""}
    assert page.post(add, values | {"messages_an_hour": "-1"}).status_code == 200
    assert page.post(add, values).status_code == 302
    change = address("quota_change", organisation.id)
    assert page.post(change, {"messages_an_hour": "100", "messages_a_day": "5"}).status_code == 302
    with build.as_owner():
        assert list(Quota.objects.values_list("messages_an_hour", "messages_a_day")) == [(100, 5)]
    assert recorded() == [
        ("quota.created", ["messages_an_hour", "organisation"]),
        ("quota.changed", ["messages_a_day"]),
    ]
    assert "Duehuset" in page.get(address("quota_changelist")).text
    assert page.post(address("quota_delete", organisation.id), {"post": "yes"}).status_code == 403
