# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the sweeper ends, brings to its end, and tells of; as the role `duty`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from accounts import alerts
from accounts.models import Organisation
from relay import sweeping
from tests.relay import mail
from tests.relay.queue.test_leases import holders, one
from tests.relay.stage import WAITING, carry, somebody_waits, to_house
from tests.testbed.smtp import Script

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.as_role("duty")]

CLOSE = "UPDATE accounts_organisation SET standing = 'closed' WHERE id = %s"
STATES = "SELECT state, final_reason, finished_at IS NULL FROM relay_delivery ORDER BY position"
CONTENT = "SELECT count(*) FROM relay_content"
ALERTS = "SELECT kind FROM accounts_alert WHERE resolved_at IS NULL"


def end_closed_aside() -> int:
    """End it from a thread, with a connection of its own."""
    try:
        return sweeping.end_closed(mail.now())
    finally:
        connections.close_all()


def keep(house: Organisation, *recipients: str, **fields: Any) -> None:
    mail.run(mail.keep(mail.message(house.id, *recipients, **fields)))


@pytest.mark.behaviour(27)
def test_mail_of_a_closed_organisation_ends_at_once(house: Organisation) -> None:
    other = mail.organisation("Andet Hus A/S")
    keep(house, "a@x.example", "b@x.example")
    keep(other)
    mail.execute(CLOSE, house.id)
    sweeping.sweep(mail.now())
    mine = f"{STATES.partition(' ORDER')[0]} WHERE organisation_id = %s"
    assert mail.rows(mine, house.id) == [("cancelled", "closed", False)] * 2
    assert mail.rows(mine, other.id) == [("waiting", "", True)]
    assert mail.rows("SELECT organisation_id FROM relay_content") == [(other.id,)]
    assert mail.rows("SELECT organisation_id FROM relay_queueddelivery") == [(other.id,)]
    destroyed = "SELECT organisation_id FROM relay_message WHERE content_destroyed_at IS NOT NULL"
    assert mail.rows(destroyed) == [(house.id,)]
    assert mail.rows(ALERTS) == []


def test_message_in_hand_is_left_to_whoever_has_it(house: Organisation) -> None:
    keep(house, "a@x.example", "b@x.example")

    async def claimed() -> None:
        async with holders() as (holder,):
            await one(holder)

    mail.run(claimed())
    mail.execute("UPDATE relay_queueddelivery SET lease_owner = NULL, lease_expires_at = NULL"
                 " WHERE position = 0")  # fmt: skip
    mail.execute(CLOSE, house.id)
    assert sweeping.end_closed(mail.now()) == 0
    assert mail.value(CONTENT) == 1
    assert sweeping.end_closed(mail.now() + timedelta(minutes=2)) == 2
    assert mail.value(CONTENT) == 0


@pytest.mark.behaviour(27)
def test_message_of_which_somebody_holds_a_row_does_not_end_in_parts(house: Organisation) -> None:
    keep(house, "a@x.example", "b@x.example")
    mail.execute(CLOSE, house.id)

    async def scenario() -> int:
        async with await mail.session("owner") as other, other.transaction():
            await other.execute("SELECT FROM relay_queueddelivery WHERE position = 0 FOR UPDATE")
            return await asyncio.to_thread(end_closed_aside)

    assert mail.run(scenario()) == 0
    assert mail.value(CONTENT) == 1
    assert sweeping.end_closed(mail.now()) == 2


@pytest.mark.behaviour(27)
@pytest.mark.parametrize(("lease", "ended"), [("'infinity'", 0), ("'-infinity'", 4)])
def test_rows_changed_just_before_their_locks_end_as_a_whole_or_not_at_all(
    house: Organisation, monkeypatch: pytest.MonkeyPatch, lease: str, ended: int
) -> None:
    """The first statement has read them by then: it looks at them again (EvalPlanQual)."""
    keep(house, "a@x.example", "b@x.example")
    keep(house, "c@x.example", "d@x.example")
    mail.execute(CLOSE, house.id)
    wait = "pg_advisory_xact_lock_shared(7) IS NOT NULL"
    slow = sweeping.LOCK_CLOSED.replace("WHERE o.standing", f"WHERE {wait} AND o.standing")
    monkeypatch.setattr(sweeping, "LOCK_CLOSED", slow)

    async def scenario() -> int:
        async with await mail.session("owner") as other:
            await other.execute("SELECT pg_advisory_lock(7)")
            swept = asyncio.ensure_future(asyncio.to_thread(end_closed_aside))
            await somebody_waits()
            await other.execute(f"UPDATE relay_queueddelivery SET lease_expires_at = {lease}")
        return await swept

    assert mail.run(scenario()) == ended
    left = 4 - ended
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == left
    assert mail.value(CONTENT) == left // 2
    assert mail.value("SELECT count(*) FROM relay_delivery WHERE state = 'waiting'") == left
    told = "SELECT count(*) FROM relay_message WHERE content_destroyed_at IS NULL"
    assert mail.value(told) == left // 2


def test_content_never_outlives_the_longest_lifetime(house: Organisation) -> None:
    """Whatever kept the shifts from it; the operator is told."""
    keep(house)
    mail.execute("UPDATE relay_queueddelivery SET dot_at = now(), due_at = '2999-01-01'")
    assert sweeping.end_overdue(mail.now() + timedelta(hours=121)) == 0
    assert sweeping.end_overdue(mail.now() + timedelta(hours=121, minutes=11)) == 1
    assert mail.rows(STATES) == [("expired", "", False)]
    assert mail.value("SELECT possible_duplicate FROM relay_delivery") is True
    assert mail.value(CONTENT) == 0
    assert mail.rows(ALERTS) == [("mail-overdue",)]


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(
    ("minutes", "due", "lane"),
    [
        (9, "'2999-01-01'", 0),
        (12, "'2999-01-01'", 2),
        (9, "expires_at", 0),
        (-1, "accepted_at", 0),
        (2, "accepted_at", 2),
    ],
)
def test_mail_that_nobody_takes_comes_to_its_end_when_its_lifetime_is_over(
    house: Organisation, minutes: int, due: str, lane: int
) -> None:
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    keep(house)
    mail.execute(f"UPDATE relay_queueddelivery SET due_at = {due}")
    at = mail.now() + timedelta(hours=19, minutes=minutes)
    assert sweeping.give_up(at) == lane // 2
    assert mail.rows("SELECT lane, due_at = %s FROM relay_queueddelivery", at) == [
        (lane, lane == 2)
    ]
    assert sweeping.give_up(at) == 0


@pytest.mark.behaviour(26)
def test_mail_ends_at_its_time_whatever_later_mail_is_given(house: Organisation) -> None:
    keep(house)
    mail.execute("UPDATE relay_queueddelivery SET expires_at = accepted_at + interval '4 hours'")
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 120")
    keep(house, "b@x.example")
    assert sweeping.give_up(mail.now() + timedelta(hours=4)) == 0
    assert sweeping.give_up(mail.now() + timedelta(hours=4, minutes=2)) == 1
    assert mail.rows("SELECT lane FROM relay_queueddelivery ORDER BY accepted_at") == [(2,), (0,)]


@pytest.mark.behaviour(26)
@pytest.mark.parametrize(("reason", "attempts"), [("held", 0), ("over_quota", 1)])
def test_mail_that_is_held_at_its_end_is_not_sent(
    house: Organisation, reason: str, attempts: int
) -> None:
    keep(house, notify="NEVER")
    mail.execute(
        "UPDATE relay_queueddelivery SET attempts = %s, lane = %s, expires_at = accepted_at"
        " + interval '4 hours'", attempts, attempts,
    )  # fmt: skip
    mail.execute(
        "INSERT INTO relay_hold (organisation_id, reason, held_at) VALUES (%s, %s, now())",
        house.id, reason,
    )  # fmt: skip
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 4")
    ended = timedelta(hours=4, minutes=2)
    assert sweeping.give_up(mail.now() + ended) == 1
    far_end = carry(Script(), prepare=to_house(house), ready=WAITING, offset=ended)
    assert far_end.ledger == []
    assert mail.rows(STATES) == [("expired", "", False)]


def test_holds_that_ended_go(house: Organisation) -> None:
    now = mail.now()
    for minutes in (-1, 1, None):
        mail.execute(
            "INSERT INTO relay_hold (organisation_id, reason, domain, held_at, ends_at)"
            " VALUES (%s, 'held', %s, %s, %s)",
            house.id, str(minutes), now, minutes and now + timedelta(minutes=minutes),
        )  # fmt: skip
    sweeping.sweep(now)
    assert mail.rows("SELECT domain FROM relay_hold ORDER BY domain") == [("1",), ("None",)]


@pytest.mark.behaviour(20)
def test_delivery_that_waits_in_the_log_alone_is_told(house: Organisation) -> None:
    keep(house, "a@x.example", "b@x.example")
    later = mail.now() + timedelta(minutes=6)
    assert sweeping.look_for_stranded(later) == 0
    mail.execute("DELETE FROM relay_queueddelivery WHERE position = 1")
    assert sweeping.look_for_stranded(mail.now()) == 0
    assert sweeping.look_for_stranded(later) == 1
    assert sweeping.look_for_stranded(mail.now() + timedelta(hours=121, minutes=25)) == 1
    assert mail.rows(ALERTS) == [("log-stranded",)]


def test_step_that_fails_is_told_and_keeps_no_other_waiting(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(house)
    ended = mail.now() + timedelta(hours=121)
    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "LOCK_OVERDUE", "SELECT 1 / 0")
        sweeping.sweep(ended)
    assert mail.value("SELECT lane FROM relay_queueddelivery") == 2
    failed = "SELECT kind, subject FROM accounts_alert WHERE resolved_at IS NULL"
    assert mail.rows(failed) == [("sweep-failed", "overdue")]
    sweeping.sweep(ended)
    assert mail.rows(failed) == []


def test_alert_of_the_quarantine_ends_with_it(house: Organisation) -> None:
    keep(house)
    mail.execute("UPDATE relay_queueddelivery SET reason = 'quarantined'")
    alerts.raise_alert("mail-quarantined", str(house.id))
    sweeping.sweep(mail.now())
    assert mail.rows(ALERTS) == [("mail-quarantined",)]
    mail.execute("UPDATE relay_queueddelivery SET reason = 'new'")
    sweeping.sweep(mail.now())
    assert mail.rows(ALERTS) == []
