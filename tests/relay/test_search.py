# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each filter finds what it should and nothing else, page by page, by indexes alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from accounts import clock
from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation
from accounts.tenancy import organisation_context
from relay import logfields, partitions, search
from relay.log import Place
from relay.models import Credential, Delivery, Ending, Message, QueuedDelivery
from relay.search import POSSIBLE_DUPLICATE, RETURNED, Search
from tests import build
from tests.bench import logseed
from tests.guards import places

pytestmark = pytest.mark.django_db

WORN, SPARE = "Post@due.example".lower(), "bo@due.example"


class Written:
    """A log: who wrote to whom, and what became of it; `ago` in seconds."""

    def __init__(self, organisation: Organisation) -> None:
        self.organisation = organisation
        self.now = clock.now()
        with build.as_owner():
            for ago in range(4):
                partitions.create_days((self.now - timedelta(days=ago)).date())
            self.credential = places.a_credential(organisation)
            Credential.objects.filter(id=self.credential).update(name="Kasse")
            self.other = places.a_credential(organisation)

    def add(
        self,
        *recipients: str,
        ago: float = 0,
        sender: str = WORN,
        state: str = "delivered",
        message_id: str = "",
        **more: Any,
    ) -> UUID:
        identifier = uuid7(self.now - timedelta(seconds=ago))
        row = {"organisation": self.organisation, "accepted_at": uuid7_time(identifier)}
        with build.as_owner():
            Message.objects.create(
                **row, id=identifier, sender=sender, size=9, recipients=len(recipients),
                credential_id=more.pop("credential", self.credential),
                header_hash=logfields.header_hash(self.organisation.id, message_id or "x"),
            )  # fmt: skip
            for position, recipient in enumerate(recipients or ("erik@modtager.example",)):
                of = row | {"message_id": identifier, "position": position}
                Delivery.objects.create(**of, recipient=recipient, state=state, **more)
                self._elsewhere(of, recipient, state)
        return identifier

    def _elsewhere(self, of: dict[str, Any], recipient: str, state: str) -> None:
        if state == "waiting":
            due = {"due_at": self.now, "expires_at": self.now}
            QueuedDelivery.objects.create(**of, recipient=recipient, **due)
        elif state != "delivered":
            Ending.objects.create(**of, state=state)

    def found(self, **asked: Any) -> list[UUID]:
        """Go from page to page of `size` to the end."""
        size = asked.pop("size", 50)
        seen: list[UUID] = []
        before: Place | None = None
        with organisation_context(self.organisation.id):
            while True:
                page = search.find(self.organisation.id, Search(**asked), before, size)
                seen += [line.message.id for line in page.lines]
                before = page.next
                if before is None:
                    return seen


@pytest.fixture
def log(organisation: Organisation) -> Written:
    return Written(organisation)


def test_each_filter_finds_its_own(log: Written) -> None:
    erik = log.add("erik@modtager.example", ago=9)
    ida = log.add("ida@modtager.example", ago=8, sender=SPARE)
    bounced = log.add("erik@modtager.example", ago=7, state="bounced", credential=log.other)
    waits = log.add("kaj@modtager.example", ago=6, state="waiting")
    known = log.add("kaj@modtager.example", ago=5, message_id="<7@due.example>")
    twice = log.add("kaj@modtager.example", ago=4, possible_duplicate=True)
    back = log.add("kaj@modtager.example", ago=3, state="bounced", final_reason="returned")
    for asked, wanted in (
        ({"recipient": "erik@modtager.example"}, [bounced, erik]),
        ({"recipient": "er", "recipient_begins": True}, [bounced, erik]),
        ({"sender": SPARE}, [ida]),
        ({"sender": "bo@", "sender_begins": True}, [ida]),
        ({"credential": str(log.other)}, [bounced]),
        ({"state": "bounced"}, [back, bounced]),
        ({"state": "waiting"}, [waits]),
        ({"message_id": "7@due.example"}, [known]),
        ({"message_id": "8@due.example"}, []),
        ({"mark": POSSIBLE_DUPLICATE}, [twice]),
        ({"mark": RETURNED}, [back]),
    ):
        assert log.found(**asked) == wanted, asked


def test_filters_meet_in_one_recipient(log: Written) -> None:
    erik = log.add("erik@modtager.example", "ida@modtager.example", ago=2)
    with build.as_owner():
        Delivery.objects.filter(message_id=erik, position=1).update(state="bounced")
        row = Delivery.objects.get(message_id=erik, position=1)
        of = {"organisation_id": row.organisation_id, "accepted_at": row.accepted_at}
        Ending.objects.create(**of, message_id=erik, position=1, state="bounced")
    for recipient, state, found in (
        ("ida@modtager.example", "bounced", [erik]),
        ("erik@modtager.example", "bounced", []),
        ("erik@modtager.example", "delivered", [erik]),
    ):
        assert log.found(recipient=recipient, state=state) == found
        begins = {"recipient": recipient[:3], "recipient_begins": True}
        assert log.found(**begins, state=state) == found


@pytest.mark.parametrize("few", [1, 1_000])
@pytest.mark.parametrize("looked_through", [3, 10_000])
def test_filters_meet_whichever_drives(
    log: Written, few: int, looked_through: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FEW", few)
    monkeypatch.setattr(search, "LOOKED_THROUGH", looked_through)
    wanted = [
        log.add("erik@modtager.example", ago=ago, sender=SPARE, state="bounced")
        for ago in (5, 90_000)
    ]
    for ago in range(10, 20):
        log.add("erik@modtager.example", ago=ago, state="bounced")
        log.add("erik@modtager.example", ago=ago + 0.5, sender=SPARE)
        log.add("ida@modtager.example", ago=ago + 0.7, sender=SPARE, state="bounced")
    asked = {"state": "bounced", "credential": str(log.credential)}
    for sender in ({"sender": SPARE}, {"sender": "bo", "sender_begins": True}):
        assert log.found(**asked, **sender, recipient="erik@modtager.example") == wanted
        assert log.found(**asked, **sender, recipient="er", recipient_begins=True) == wanted
        assert len(log.found(**asked, **sender)) == 12
    day = str((log.now - timedelta(days=1)).date())
    assert (
        log.found(**asked, sender=SPARE, recipient="er", recipient_begins=True, since_on=day)[:1]
        == wanted[:1]
    )


ASKED = (
    {"recipient": "erik@modtager.example"},
    {"recipient": "erik@", "recipient_begins": True},
    {"sender": WORN},
    {"sender": "post", "sender_begins": True},
    {"state": "waiting"},
    {"state": "bounced"},
    {"state": "delivered"},
    {"mark": POSSIBLE_DUPLICATE},
)


@pytest.mark.parametrize(
    ("looked_through", "few"), [(10_000, 1_000), (4, 1_000), (10_000, 2), (4, 2)]
)
def test_pages_hold_each_message_once(
    log: Written, looked_through: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOKED_THROUGH", looked_through)
    monkeypatch.setattr(search, "FEW", few)
    states = ("waiting", "bounced", "delivered")
    # Some share their time, and some a recipient with themselves; some are of another day.
    made = {
        log.add(
            *("erik@modtager.example",) * (1 + n % 2), ago=n // 3 + 86_400 * (n // 9),
            state=states[n % 3], possible_duplicate=True,
        ): states[n % 3]
        for n in range(18)
    }  # fmt: skip
    for asked in ASKED:
        wanted = [one for one, state in made.items() if asked.get("state", state) == state]
        assert sorted(log.found(size=2, **asked)) == sorted(wanted), asked


def test_newest_are_first(log: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "FEW", 2)
    made = [log.add(ago=86_400 * n / 2) for n in range(5)]
    for asked in ASKED[:4]:
        assert log.found(size=2, **asked) == made


def test_look_ends_on_a_match_and_goes_on(log: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row looked at matches, the page is not full, and there is more."""
    monkeypatch.setattr(search, "LOOKED_THROUGH", 2)
    made = [log.add(ago=n, state="waiting" if n == 2 else "delivered") for n in range(6)]
    assert log.found(state="delivered") == [one for n, one in enumerate(made) if n != 2]


def test_page_goes_through_so_many_rows_in_all_its_looks(
    log: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOKED_THROUGH", 4)
    monkeypatch.setattr(search, "FEW", 2)
    made = [log.add(ago=86_400 * (n // 3) + n, state="waiting") for n in range(9)]
    asked = Search(sender="post", sender_begins=True, state="delivered")
    with organisation_context(log.organisation.id):
        page = search.find(log.organisation.id, asked)
    assert page.next == Place(uuid7_time(made[3]), made[3])


def test_nothing_of_another_organisation_is_found(
    log: Written, other_organisation: Organisation
) -> None:
    stranger = Written(other_organisation)
    stranger.add(message_id="<7@due.example>", state="bounced")
    for asked in (
        *ASKED,
        {"message_id": "7@due.example"},
        {"credential": str(stranger.credential)},
    ):
        assert log.found(**asked) == []


def test_days_are_those_of_the_readers_zone(log: Written) -> None:
    made = log.add(ago=0)
    at = uuid7_time(made).astimezone().date()
    for days, found in (
        (
            {"since_on": str(at - timedelta(days=1)), "until_on": str(at + timedelta(days=1))},
            [made],
        ),
        ({"until_on": str(at - timedelta(days=2))}, []),
    ):
        assert log.found(**days) == found
        assert log.found(**days, sender=WORN) == found


def test_search_is_read_as_it_was_sealed(organisation: Organisation) -> None:
    asked = Search(
        recipient="erik@", recipient_begins=True, since_on="2026-11-20", message_id="<a>"
    )
    with organisation_context(organisation.id):
        sealed = asked.sealed(organisation.id)
        assert search.opened(sealed, organisation.id) == asked
    assert "erik" not in sealed


def explained(log: Written, **asked: Any) -> list[dict[str, Any]]:
    """The nodes of the plans of a first page's statements, where every index is worth its while."""
    nodes: list[dict[str, Any]] = []

    def explain(
        execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if sql.lstrip().startswith("SELECT") and "relay_" in sql:
            with connection.cursor() as cursor:
                cursor.cursor.execute("SET LOCAL enable_seqscan = off")
                cursor.cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                ((plans,),) = cursor.cursor.fetchall()
                nodes.extend(_nodes(plans[0]["Plan"]))
        return execute(sql, params, many, context)

    with organisation_context(log.organisation.id), connection.execute_wrapper(explain):
        search.places(log.organisation.id, Search(**asked), None, 50)
    return nodes


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


# What is asked for, whose index answers, and what it is gone into by.
INDEXES: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"message_id": "7@due.example"}, "organisation_id_header_hash", "header_hash ="),
    ({"recipient": "r7@modtager.example"}, "organisation_id_recipient", "recipient ="),
    (
        {"recipient": "r77", "recipient_begins": True},
        "organisation_id_recipient",
        "recipient ~>=~",
    ),
    ({"sender": "post1@hus1.example"}, "organisation_id_sender", "sender ="),
    ({"sender": "post4", "sender_begins": True}, "organisation_id_sender", "sender ~>=~"),
    # Ten rows or so: which of the queue's indexes is cheaper is a matter of luck.
    ({"state": "waiting"}, "queueddelivery_", "organisation_id ="),
    ({"state": "bounced"}, "organisation_id_state", "state ="),
    ({"mark": POSSIBLE_DUPLICATE}, "organisation_id_accepted_at_message_id", "accepted_at >="),
    ({"credential": str(UUID(int=1))}, "organisation_id_credential_id", "credential_id ="),
    ({}, "organisation_id_accepted_at", "accepted_at >="),
)


def test_each_filter_goes_down_its_own_index(log: Written) -> None:
    """As the portal asks: row security is before each row, so only what leaks nothing goes in."""
    assert watched()
    yesterday = (log.now - timedelta(days=1)).date()
    filled(log.organisation, yesterday)
    # What the planner takes for a day without rows is the same to everybody.
    names = (f"{yesterday:_%Y%m%d_}", "queueddelivery_")
    for asked, index, condition in INDEXES:
        nodes = explained(log, **asked)
        assert [one for one in nodes if one["Node Type"] == "Seq Scan"] == []
        used = [one for one in nodes if any(name in one.get("Index Name", "") for name in names)]
        gone = {(one["Index Name"], one["Index Cond"].replace(")::text", "")) for one in used}
        assert gone, asked
        assert {one for one in gone if index not in one[0] or condition not in one[1]} == set()


def watched() -> bool:
    """Whether the connection's role sees no row but through a policy."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_security_active('relay_message')")
        return bool(cursor.fetchone()[0])


def filled(organisation: Organisation, day: date, rows: int = 5_000) -> None:
    """A day of many organisations' mail, of which the planner knows."""
    bench = logseed.Log(messages=rows, days=(day,), big=organisation.id)
    constants = logseed.constants(bench)
    with build.as_owner(), connection.cursor() as cursor:
        for values in bench.batches():
            cursor.execute(logseed.MESSAGES, constants | values)
            for statement in logseed.INTO:
                cursor.execute(statement.format(state=logseed.STATE), constants)
            cursor.execute("DROP TABLE seeded")
        for table in (*logseed.TABLES, "queueddelivery"):
            cursor.execute(f"ANALYZE relay_{table}")


def test_question_to_a_row_is_one_by_its_number(log: Written) -> None:
    """Whatever the planner believes, no filter is turned into a look at the whole log."""
    log.add()
    nodes = explained(log, state="delivered")
    assert "SubPlan" in {one.get("Parent Relationship") for one in nodes}
    assert [one for one in nodes if "Hash" in one["Node Type"]] == []
    # What is restricted is looked up once for the statement, however much the log has.
    numbers = set(re.findall(r"hashed SubPlan (\d+)", str(nodes)))
    hashed = [one for one in nodes if one.get("Subplan Name", "")[8:] in numbers]
    assert len(hashed) == len(numbers) > 0
    read = {inner.get("Relation Name") for one in hashed for inner in _nodes(one)}
    assert read == {"relay_restriction", None}


def test_find_takes_a_place_without_end(log: Written) -> None:
    made = log.add()
    far = Place(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
    with organisation_context(log.organisation.id):
        page = search.find(log.organisation.id, Search(sender=WORN), far)
    assert [line.message.id for line in page.lines] == [made]


def test_credential_of_another_is_none(log: Written) -> None:
    with build.as_owner():
        assert Credential.objects.count() == 2
    assert log.found(credential=str(log.other)) == []
