# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where an organisation chose fewer days its rows go then, and no one else's; what waits stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from accounts.ids import uuid7, uuid7_time
from accounts.models import Alert, Organisation
from gdpr import retention
from relay import partitions, shorterperiods, upkeep
from relay.models import (
    Attempt,
    Delivery,
    Ending,
    LogChoice,
    Message,
    MessageHeader,
    QueuedDelivery,
    Report,
)
from relay.models.messages import LOG_DAYS
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]

# As whole as an id's time, on a day that there is.
NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = (Message, Delivery, Attempt, Report, Ending, MessageHeader)
HOUR = timedelta(hours=1)


def choose(organisation: Organisation, days: int, at: datetime = NOW) -> None:
    with build.as_owner():
        values = {"profile": "headers", "days": days, "changed_at": at}
        LogChoice.objects.create(organisation=organisation, **values)


def logged(organisation: Organisation, at: datetime, *, waits: bool = False) -> UUID:
    """A message with a row in every table of the log."""
    identifier = uuid7(at)
    row: dict[str, Any] = {"organisation": organisation, "accepted_at": uuid7_time(identifier)}
    of = row | {"message_id": identifier}
    one = of | {"position": 0}
    with build.as_owner():
        Message.objects.create(**row, id=identifier, sender="a@due.example", size=1, recipients=1)
        Delivery.objects.create(**one, recipient="erik@modtager.example")
        Attempt.objects.create(
            **one, number=1, started_at=at, finished_at=at, verdict=Attempt.Verdict.RETRY
        )
        Report.objects.create(**one, number=1, received_at=at, source="bounce", kind="failed")
        Ending.objects.create(**one, state="bounced")
        MessageHeader.objects.create(**of, header="Subject: Hej\n")
        if waits:
            recipient = {"recipient": "erik@modtager.example"}
            QueuedDelivery.objects.create(**one, **recipient, due_at=at, expires_at=at)
    return identifier


def rows() -> list[int]:
    return [model._default_manager.count() for model in TABLES]


@pytest.mark.parametrize(("seconds", "gone"), [(-1, 0), (0, 6), (1, 6)])
def test_rows_go_in_the_hour_before_their_days_are_over(
    organisation: Organisation, seconds: int, gone: int
) -> None:
    """Counted from the moment their age reaches the days, less the hour until the next look."""
    choose(organisation, 1)
    logged(organisation, NOW)
    moment = NOW + timedelta(days=1) - HOUR + timedelta(seconds=seconds)
    assert shorterperiods.count_due(moment, HOUR) == gone // 6
    assert shorterperiods.forget(moment, HOUR) == gone
    assert rows() == [1 - gone // 6] * 6


def test_only_theirs_go(organisation: Organisation, other_organisation: Organisation) -> None:
    choose(organisation, 1)
    logged(organisation, NOW)
    young = logged(organisation, NOW + 2 * HOUR)
    others = logged(other_organisation, NOW)
    assert shorterperiods.forget(NOW + timedelta(days=1), HOUR) == 6
    assert set(Message.objects.values_list("id", flat=True)) == {young, others}
    assert rows() == [2] * 6


def test_what_waits_stays_until_it_is_final(organisation: Organisation) -> None:
    choose(organisation, 1)
    logged(organisation, NOW, waits=True)
    later = NOW + timedelta(days=1)
    assert shorterperiods.forget(later, HOUR) == 0
    with build.as_owner():
        QueuedDelivery.objects.all().delete()
    assert shorterperiods.forget(later, HOUR) == 6


def test_long_work_goes_on_in_pieces_and_stops_in_time(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shorterperiods, "PIECE", 2)
    choose(organisation, 1)
    for second in range(5):
        logged(organisation, NOW + timedelta(seconds=second))
    later, ticks = NOW + timedelta(days=1), iter([0.0, 1.0, 61.0])
    assert shorterperiods.forget(later, HOUR, lambda: next(ticks)) == 12
    assert shorterperiods.forget(later, HOUR) == 18
    assert rows() == [0] * 6


def test_hourly_upkeep_does_it_and_tells_what_is_overdue(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(organisation, 1)
    logged(organisation, NOW)
    # Days are dropped elsewhere.
    monkeypatch.setattr(upkeep, "existing_days", lambda: [NOW.date() + timedelta(days=3)])
    late = NOW + timedelta(days=2)
    assert upkeep.count_due(late) == 1
    for moment, told in ((late - timedelta(seconds=1), False), (late, True)):
        upkeep.keep_days(moment)
        assert _is_told() is told
    assert upkeep.forget_days(late) == 6
    assert not _is_told()


@pytest.mark.parametrize(
    ("changed", "waited", "late"),
    [(48, 0, 24), (26, 0, 24), (25, 0, 23.5), (1.25, 0, -0.25), (48, 47, None), (48, 45.5, 24)],
)
def test_gauge_counts_from_the_days_that_were_chosen(
    organisation: Organisation,
    changed: float,
    waited: float,
    late: float | None,
) -> None:
    """All in hours: when it was chosen, and how long the mail waited; nothing is late unseen."""
    choose(organisation, 1, NOW - changed * HOUR)
    at = NOW - timedelta(days=2)
    with build.as_owner():
        partitions.create_days((at + timedelta(days=1)).date())
    logged(organisation, at)
    with build.as_owner():
        Message.objects.update(content_destroyed_at=at + waited * HOUR)
    measured = retention.measure(NOW)
    (gauge,) = (one for one in measured if one.what == "relay.Message")
    assert gauge.over_seconds is not None
    if late is None:  # It is as any mail of two days, and is not measured by the choice yet.
        assert gauge.over_seconds == timedelta(days=2 - LOG_DAYS).total_seconds()
    else:
        assert gauge.over_seconds == late * HOUR.total_seconds()
    assert gauge.holds is (late is None or late <= 0)


def _is_told() -> bool:
    return Alert.objects.filter(kind=upkeep.STILL_THERE, resolved_at=None).exists()
