# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db.utils import OperationalError, ProgrammingError

from accounts.models import Organisation
from relay import partitions, upkeep
from relay.models.messages import LOG_DAYS
from tests.relay import mail

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.as_role("duty")]


@pytest.fixture
def old_day() -> Any:
    """A day whose time has come, with its three tables."""
    day = datetime.now(UTC).date() - timedelta(days=LOG_DAYS)
    make(day)
    yield day
    for table in ("message", "delivery", "attempt"):
        mail.execute(f"DROP TABLE IF EXISTS relay_{table}_{day:%Y%m%d}")


def make(day: date) -> None:
    mail.execute("SELECT relay_create_day(%s)", day)


def alerts() -> list[Any]:
    return [kind for (kind,) in mail.rows(
        "SELECT kind FROM accounts_alert WHERE resolved_at IS NULL")]  # fmt: skip


def test_days_ahead_are_there() -> None:
    now = datetime.now(UTC)
    upkeep.keep_days(now)
    days = partitions.existing_days()
    assert all(now.date() + timedelta(days=ahead) in days for ahead in range(4))
    assert alerts() == []


def test_day_goes_when_its_time_has_come_and_not_before(old_day: date) -> None:
    young = old_day + timedelta(days=3)
    make(young)
    assert upkeep.keep_days(datetime.now(UTC)) == [old_day]
    assert young in partitions.existing_days()
    for table in ("message", "delivery", "attempt"):
        mail.execute(f"DROP TABLE relay_{table}_{young:%Y%m%d}")


@pytest.mark.parametrize(("seconds", "due"), [(-1, False), (0, True)])
def test_day_is_due_an_hour_before_its_oldest_row_reaches_the_period(
    seconds: int, due: bool
) -> None:
    day = date(2026, 11, 1)
    moment = datetime(2026, 11, 30, 23, tzinfo=UTC) + timedelta(seconds=seconds)
    assert upkeep._is_due(day, moment) is due


def test_database_refuses_to_drop_a_day_inside_the_period() -> None:
    today = datetime.now(UTC).date()
    assert not upkeep._dropped(today)
    assert today in partitions.existing_days()


@pytest.mark.behaviour(22)
def test_day_with_unfinished_mail_stays_and_is_told_when_overdue(old_day: date) -> None:
    house = mail.organisation()
    at = datetime(old_day.year, old_day.month, old_day.day, 12, tzinfo=UTC)
    queued(house, at)
    now = datetime.now(UTC)
    assert upkeep.keep_days(now) == []
    assert alerts() == []
    upkeep.keep_days(now + timedelta(hours=24))
    assert alerts() == [upkeep.STILL_THERE]
    mail.execute("DELETE FROM relay_queueddelivery")
    assert upkeep.keep_days(now) == [old_day]
    assert alerts() == []


def queued(house: Organisation, at: datetime) -> None:
    mail.execute(
        "INSERT INTO relay_queueddelivery (organisation_id, message_id, accepted_at, position,"
        " recipient, notify, orcpt, due_at, expires_at, attempts, reason, possible_duplicate,"
        " fence) VALUES (%s, gen_random_uuid(), %s, 0, 'x', '', '', %s, %s, 0, 'new', false, 0)",
        house.id, at, at, at,
    )  # fmt: skip


def test_missing_tomorrow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise OperationalError("lock timeout")

    monkeypatch.setattr(upkeep, "create_days", locked)
    now = datetime.now(UTC) + timedelta(days=9)
    monkeypatch.setattr(upkeep, "existing_days", list)
    upkeep.keep_days(now)
    assert alerts() == [partitions.DAY_MISSING]


@pytest.mark.behaviour(27)
def test_content_that_nothing_waits_for_is_reaped_and_told() -> None:
    mail.run(mail.keep(mail.message(mail.organisation().id)))
    assert upkeep.reap_content(mail.now()) == 0
    assert upkeep.oldest_content_of_final_message() is None
    mail.execute("DELETE FROM relay_queueddelivery")
    assert upkeep.oldest_content_of_final_message() == mail.value(
        "SELECT accepted_at FROM relay_message"
    )
    assert upkeep.reap_content(mail.now()) == 1
    assert upkeep.oldest_content_of_final_message() is None
    assert mail.value("SELECT content_destroyed_at IS NOT NULL FROM relay_message") is True
    assert alerts() == [upkeep.LEFT_OVER]
    assert upkeep.reap_content(mail.now()) == 0
    assert alerts() == []


def test_left_over_content_is_told_also_when_it_cannot_be_deleted() -> None:
    mail.run(mail.keep(mail.message(mail.organisation().id)))
    mail.execute("DELETE FROM relay_queueddelivery")
    mail.execute("REVOKE DELETE ON relay_content FROM duty")
    try:
        with pytest.raises(ProgrammingError):
            upkeep.reap_content(mail.now())
    finally:
        mail.execute("GRANT DELETE ON relay_content TO duty")
    assert alerts() == [upkeep.LEFT_OVER]
