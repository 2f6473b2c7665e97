# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation
from accounts.tenancy import organisation_context
from relay import log
from relay.models import Attempt, Delivery, Message, QueuedDelivery
from relay.search import Search, find
from tests import build

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)


def message(organisation: Organisation, *recipients: str, ago: int = 0) -> Message:
    """A logged message with waiting deliveries."""
    identifier = uuid7(NOW - timedelta(seconds=ago))
    row: dict[str, Any] = {"organisation": organisation, "accepted_at": uuid7_time(identifier)}
    with build.as_owner():
        made = Message.objects.create(
            **row, id=identifier, sender="post@due.example", size=9, recipients=len(recipients)
        )
        for position, recipient in enumerate(recipients):
            of = row | {"message_id": identifier, "position": position, "recipient": recipient}
            Delivery.objects.create(**of)
            QueuedDelivery.objects.create(
                **of,
                due_at=NOW + timedelta(hours=position + 1),
                expires_at=NOW + timedelta(hours=72),
                reason=QueuedDelivery.Reason.DEFERRED,
            )
    return made


def test_pages_show_each_message_once_newest_first(organisation: Organisation) -> None:
    made = [message(organisation, "erik@modtager.example", ago=ago // 2) for ago in range(7)]
    seen, before = [], None
    with organisation_context(organisation.id):
        while True:
            page = find(organisation.id, Search(), before, size=3)
            seen += [line.message.id for line in page.lines]
            if page.next is None:
                break
            before = log.Place.parse(str(page.next), UUID)
    assert sorted(seen) == sorted(one.id for one in made)
    assert [uuid7_time(i) for i in seen] == sorted((uuid7_time(i) for i in seen), reverse=True)


def test_line_counts_the_states_of_its_recipients(organisation: Organisation) -> None:
    message(organisation, *(f"r{n}@modtager.example" for n in range(5)))
    with build.as_owner():
        Delivery.objects.filter(position=0).update(state=Delivery.State.DELIVERED)
    with organisation_context(organisation.id):
        (line,) = find(organisation.id, Search()).lines
    assert line.states == {"delivered": 1, "waiting": 4}
    assert line.recipients == tuple(f"r{n}@modtager.example" for n in range(3))


def test_empty_log_is_an_empty_page(organisation: Organisation) -> None:
    with organisation_context(organisation.id):
        assert find(organisation.id, Search()) == log.Page((), None)


def test_another_organisation_sees_nothing(
    organisation: Organisation, other_organisation: Organisation
) -> None:
    made = message(organisation, "erik@modtager.example")
    with organisation_context(other_organisation.id):
        for owner in (organisation.id, other_organisation.id):
            assert find(owner, Search()).lines == ()
            assert log.timeline(owner, made.id, NOW) is None


def test_timeline_tells_every_attempt(organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example", "ida@modtager.example")
    with build.as_owner():
        for number in (2, 1):
            Attempt.objects.create(
                organisation=organisation, accepted_at=made.accepted_at, message_id=made.id,
                position=1, number=number, started_at=NOW, finished_at=NOW, verdict="retry",
            )  # fmt: skip
    with organisation_context(organisation.id):
        found = log.timeline(organisation.id, made.id, NOW)
    assert found is not None
    assert [track.delivery.position for track in found.tracks] == [0, 1]
    assert [attempt.number for attempt in found.tracks[1].attempts] == [1, 2]
    assert found.tracks[0].attempts == ()
    assert found.tracks[0].waiting is not None


def test_unknown_message_has_no_timeline(organisation: Organisation) -> None:
    with organisation_context(organisation.id):
        assert log.timeline(organisation.id, uuid7(NOW), NOW) is None


def test_timeline_reads_one_partition(organisation: Organisation) -> None:
    made = message(organisation, "erik@modtager.example")
    with organisation_context(organisation.id):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            log.timeline(organisation.id, made.id, NOW)
        selects = [q["sql"] for q in queries if '"relay_' in q["sql"] and "queued" not in q["sql"]]
        assert len(selects) == 4
        for sql in selects:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
            assert len(set(_partitions(plan))) == 1, plan


def _partitions(plan: str) -> list[str]:
    return [word for word in plan.split() if word.startswith("relay_") and word[-8:].isdigit()]


AT = "2026-11-20T12:00:00+00:00"


@pytest.mark.parametrize("text", ["", "x", "2026-11-20T12:00:00|7", "|", f"{AT}|", f"{AT}|x"])
@pytest.mark.parametrize("kind", [UUID, int])
def test_place_from_outside_is_checked(text: str, kind: type[UUID] | type[int]) -> None:
    assert log.Place.parse(text, kind) is None
