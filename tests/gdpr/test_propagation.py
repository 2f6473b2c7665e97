# SPDX-License-Identifier: AGPL-3.0-or-later
"""Recipients hear of corrections, restrictions and erasures, each once, with a number alone."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any
from zlib import crc32

import pytest
from django.conf import settings
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import vault
from accounts.models import Alert, AuditEvent, OutgoingMail, User
from accounts.tenancy import person_context
from accounts.turns import LOCK_CLASS
from gdpr import propagation, tasks
from gdpr.models import Notice, PersonRestriction, Recipient, RequestedRight, Right
from gdpr.rights import restriction
from gdpr.rights.restriction import Ground
from tests import build
from tests.accounts.conftest import Clock
from tests.accounts.test_staffsite import verified
from tests.gdpr.test_restriction import staff_page

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

HOST, CARRIER = "gdpr@vaertshuset.example", "dataskydd@postverket.example"


@pytest.fixture
def suppliers(db: None) -> list[Recipient]:
    rows = [
        build.supplier(),
        build.supplier("Postverket AB", country="SE", contact=CARRIER, services=["mail"]),
        # Before the account was made, and after today.
        build.supplier("Forbi ApS", starts_on=date(2025, 1, 1), ends_on=date(2025, 6, 1)),
        build.supplier("Senere ApS", starts_on=date(2027, 1, 1)),
    ]
    with build.as_owner():
        for row in rows:
            row.save(force_insert=True)
    return rows


def mailed(kind: str = "gdpr/notice") -> list[dict[str, str]]:
    with build.as_owner():
        rows = OutgoingMail.objects.filter(kind=kind)
        letters = [json.loads(vault.unseal(f"outgoing-mail|{row.id}", row.sealed)) for row in rows]
    return sorted(letters, key=lambda letter: letter["to"])


def corrected(person: User, now: Any, **fields: Any) -> RequestedRight:
    values = {"state": RequestedRight.State.DONE, "closed_at": now} | fields
    with build.as_owner():
        row = build.request_of(person, Right.RECTIFICATION).rights.get()
        RequestedRight.objects.filter(pk=row.pk).update(**values)
    return row


def told() -> list[tuple[str, str, str]]:
    rows = Notice.objects.select_related("recipient").order_by("recipient__name", "change")
    return [(row.recipient.name, row.change, row.state) for row in rows]


def test_whoever_had_the_data_hears_of_a_correction_once(
    anna: User, suppliers: list[Recipient], clock: Clock
) -> None:
    corrected(anna, clock.now)
    for _ in range(2):
        tasks.tell_recipients()
    assert told() == [
        ("Postverket AB", "rectified", "told"),
        ("Værtshuset A/S", "rectified", "told"),
    ]
    swedish, danish = mailed()
    assert (swedish["to"], danish["to"]) == (CARRIER, HOST)
    assert "were corrected" in swedish["text"]
    assert "rettet" in danish["text"]
    for letter in (swedish, danish):
        whole = json.dumps(letter)
        assert str(anna.pk) in whole
        # Never more than they need: no name, no address, no value.
        for known in (anna.email, anna.first_name, anna.last_name):
            assert known not in whole, known


def test_restriction_and_its_end_are_told_and_a_time_to_think_is_not(
    anna: User, suppliers: list[Recipient], clock: Clock
) -> None:
    restriction.impose(anna, Ground.COOL_DOWN, clock.now)
    tasks.tell_recipients()
    assert told() == []
    restriction.impose(anna, Ground.CLAIMS, clock.now)
    tasks.tell_recipients()
    assert {change for _, change, _ in told()} == {"restricted"}
    PersonRestriction.objects.filter(ground=Ground.CLAIMS).update(ends_at=clock.now, lifted_at=None)
    tasks.tell_recipients()
    assert {change for _, change, _ in told()} == {"restricted", "released"}
    assert len(mailed()) == 4


def test_refused_correction_is_nobodys_business(
    anna: User, suppliers: list[Recipient], clock: Clock
) -> None:
    corrected(anna, clock.now, state=RequestedRight.State.REFUSED, resolution="Nej.")
    tasks.tell_recipients()
    assert told() == []


def test_desk_without_an_address_stands_before_staff_until_it_is_told(
    anna: User, dorte: User, suppliers: list[Recipient], clock: Clock
) -> None:
    with build.as_owner():
        Recipient.objects.filter(name="Værtshuset A/S").update(contact="Telefon 70 10 20 30")
    corrected(anna, clock.now)
    tasks.tell_recipients()
    assert ("Værtshuset A/S", "rectified", "open") in told()
    (letter,) = mailed("gdpr/notice_by_hand")
    assert letter["to"] == settings.PRIVACY_EMAIL
    assert "70 10 20 30" in letter["text"]
    assert Alert.objects.filter(kind=propagation.UNTOLD, resolved_at=None).exists()
    with build.as_owner():
        row = Notice.objects.get(state="open")
    with build.as_role("web"):
        page = verified(dorte)
        answer = close(page, row, "told")
        assert "Noted" in answer
        assert "settled already" in close(page, row, "impossible")
    row.refresh_from_db()
    assert (row.state, row.by) == ("told", "staff")
    tasks.tell_recipients()
    assert not Alert.objects.filter(kind=propagation.UNTOLD, resolved_at=None).exists()
    assert AuditEvent.objects.filter(action="notice.told").count() == 1
    assert len(mailed("gdpr/notice_by_hand")) == 1


def close(page: Client, row: Notice, action: str) -> str:
    data = {"action": action, "_selected_action": [str(row.pk)]}
    return page.post(staff_page("gdpr_notice_changelist"), data, follow=True).text


def test_what_is_told_late_is_counted(anna: User, suppliers: list[Recipient], clock: Clock) -> None:
    corrected(anna, clock.now)
    with build.as_owner():
        Recipient.objects.filter(name="Postverket AB").update(contact="+46 70 10 20 30")
    assert propagation.count_late(clock.now + timedelta(minutes=59)) == 0
    assert propagation.count_late(clock.now + timedelta(minutes=61)) == 2
    tasks.tell_recipients()
    assert propagation.count_late(clock.now + timedelta(days=6)) == 0
    assert propagation.count_late(clock.now + timedelta(days=8)) == 1


def test_what_happened_while_the_worker_was_away_is_told_and_old_things_are_not(
    anna: User, suppliers: list[Recipient], clock: Clock
) -> None:
    corrected(anna, clock.now - timedelta(days=29))
    corrected(anna, clock.now - timedelta(days=31))
    assert propagation.tell_recipients(clock.now) == 2


def test_supplier_that_came_after_it_is_not_told(
    anna: User, suppliers: list[Recipient], clock: Clock
) -> None:
    corrected(anna, clock.now)
    with build.as_owner():
        build.supplier("Ny ApS", starts_on=date(2026, 11, 21)).save(force_insert=True)
        build.supplier("Endt ApS", ends_on=date(2026, 11, 21)).save(force_insert=True)
    clock.forward(days=2)
    tasks.tell_recipients()
    assert [name for name, *_ in told()] == ["Endt ApS", "Postverket AB", "Værtshuset A/S"]


def test_many_causes_cost_no_more_queries_than_one(
    anna: User, bo: User, suppliers: list[Recipient], clock: Clock
) -> None:
    then = clock.now + timedelta(hours=2)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            propagation.count_late(then)
        return len(captured)

    corrected(anna, clock.now)
    assert propagation.count_late(then) == 2
    few = queries()
    for person in (anna, bo):
        for _ in range(3):
            restriction.impose(person, Ground.CLAIMS, clock.now)
            corrected(person, clock.now)
    assert propagation.count_late(then) == 26
    assert queries() == few


def test_one_worker_tells_at_a_time(anna: User, suppliers: list[Recipient], clock: Clock) -> None:
    corrected(anna, clock.now)
    other = connections.create_connection("default")
    lock = (LOCK_CLASS, crc32(b"recipients-told") & 0x7FFFFFFF)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
            assert propagation.tell_recipients(clock.now) == 0
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)
        assert propagation.tell_recipients(clock.now) == 2
    finally:
        other.close()


def test_person_sees_who_was_told_and_nobody_else_does(
    anna: User, carl: User, suppliers: list[Recipient], clock: Clock
) -> None:
    corrected(anna, clock.now)
    tasks.tell_recipients()
    with build.as_role("web"):
        with person_context(anna.pk):
            names = [row.recipient.name for row in propagation.told_about(anna)]
        with person_context(carl.pk):
            assert not Notice.objects.exists()
    assert names == ["Postverket AB", "Værtshuset A/S"]
