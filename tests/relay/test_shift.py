# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shifts against scripted servers, over real sockets, as the database role of the mail path."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings

from accounts.models import Organisation
from relay import routing
from relay import shift as shifts
from relay.delivery import Courier
from relay.egress import Guard, system_lookup
from relay.models import Route
from relay.queue import Accepted, Leases, Store
from relay.routing import Routes
from relay.shift import Shift, Slot
from relay.smtp.tls import make_contexts
from relay.transports.smarthost import Smarthost
from relay.wake import Bell
from tests import build
from tests.relay import mail
from tests.testbed.certificates import Authority
from tests.testbed.smtp import Drop, FarEnd, Script, Silence

pytestmark = pytest.mark.django_db(transaction=True)


def route(organisation: Organisation, **fields: Any) -> UUID:
    values: dict[str, Any] = {
        "name": "server",
        "host": "127.0.0.1",
        "port": 1,
        "security": Route.Security.NONE,
        "created_at": build.NOW,
    }
    with build.as_owner():
        return Route.objects.create(organisation=organisation, **values | fields).id


class Stage:
    """A shift against one far end, and a way to wait for what it did."""

    def __init__(
        self,
        far_end: FarEnd,
        *,
        offset: timedelta = timedelta(),
        authority: Authority | None = None,
    ) -> None:
        self.far_end = far_end
        self.ca_file = str(authority.ca_file) if authority else ""
        self.stopping = False
        self.offset = offset

    def now(self) -> Any:
        return mail.now() + self.offset

    def shift(self, **options: Any) -> Shift:
        sealer = mail.sealer()
        courier = Courier(
            leases=Leases(mail.dsn(), sealer, self.now),
            routes=Routes(mail.dsn(), self.now),
            transport=Smarthost(
                ehlo_name="relay.brevdue.example",
                contexts=make_contexts(self.ca_file),
                guard=Guard(
                    lookup=system_lookup,
                    loopback_ports=frozenset({self.far_end.port}),
                    refusal_seconds=0,
                ),
            ),
            sealer=sealer,
            now=self.now,
            random=lambda: 0.5,
            hostname="relay.brevdue.example",
        )
        values: dict[str, Any] = {
            "slot": Slot(mail.dsn(), 1),
            "stop": lambda: self.stopping,
            "hand_over": lambda: False,
            "stop_seconds": 0.3,
        }
        return Shift(courier=courier, **values | options)


async def until(found: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.02)


async def count(sql: str) -> int:
    async with await mail.session() as connection:
        row = await (await connection.execute(sql)).fetchone()
    assert row is not None
    return int(row[0])


WAITING = "SELECT count(*) FROM relay_queueddelivery"
UNTRIED = (
    "SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NOT NULL OR reason = 'new'"
)


async def becomes(sql: str, wanted: int, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while await count(sql) != wanted:
            await asyncio.sleep(0.05)


def carry(
    script: Script,
    *messages: Accepted,
    prepare: Callable[[int], None] = lambda port: None,
    ready: str = UNTRIED,
    offset: timedelta = timedelta(),
    authority: Authority | None = None,
) -> FarEnd:
    """Store messages, work a shift until none is untried, and return the far end."""
    port = free_port()
    prepare(port)

    async def scenario() -> FarEnd:
        await mail.keep(*messages)
        tls = authority.server("127.0.0.1") if authority else None
        async with FarEnd(script, tls, port=port) as far_end:
            stage = Stage(far_end, offset=offset, authority=authority)
            working = asyncio.create_task(stage.shift().run())
            await becomes(ready, 0)
            stage.stopping = True
            await working
            return far_end

    return mail.run(scenario())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def house() -> Organisation:
    return mail.organisation()


def to_house(house: Organisation, **fields: Any) -> Callable[[int], None]:
    return lambda port: (route(house, port=port, **fields), None)[1]


def test_message_is_delivered_byte_for_byte_and_forgotten(house: Organisation) -> None:
    message = mail.message(house.id, "Erik@modtager.example", "ida@modtager.example")
    far_end = carry(Script(), message, prepare=to_house(house))
    (received,) = far_end.ledger
    assert received.content == mail.CONTENT
    assert received.sender == "Post@due.example"
    assert received.recipients == ["Erik@modtager.example", "ida@modtager.example"]
    assert mail.value(WAITING) == 0
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert mail.value("SELECT content_destroyed_at IS NOT NULL FROM relay_message") is True
    assert mail.rows("SELECT DISTINCT state, possible_duplicate FROM relay_delivery") == [
        ("delivered", False)
    ]
    assert mail.rows("SELECT DISTINCT verdict, code, remote_host FROM relay_attempt") == [
        ("delivered", 250, "127.0.0.1")
    ]


def test_hundreds_of_messages_arrive_once_each(house: Organisation) -> None:
    messages = [
        mail.message(house.id, content=b"Subject: %d\r\n\r\n" % number) for number in range(300)
    ]
    far_end = carry(Script(), *messages, prepare=to_house(house))
    assert sorted(one.content for one in far_end.ledger) == sorted(m.content for m in messages)
    assert far_end.connections <= 20


def test_large_message_is_delivered_byte_for_byte(house: Organisation) -> None:
    content = b"Subject: stor\r\n\r\n" + b"Grus og guld.\r\n" * 100_000
    far_end = carry(Script(), mail.message(house.id, content=content), prepare=to_house(house))
    assert [one.content for one in far_end.ledger] == [content]


def test_mail_long_past_its_time_is_not_tried_any_more(house: Organisation) -> None:
    message = mail.message(house.id, ago=timedelta(hours=20))
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    far_end = carry(Script(), message, prepare=to_house(house))
    (notice,) = far_end.ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"Status: 4.4.7" in notice.content


def test_refused_recipient_is_told_to_the_sender_once(house: Organisation) -> None:
    message = mail.message(house.id, "erik@modtager.example", "ida@modtager.example")
    script = Script(rcpt={"erik@modtager.example": "550 5.1.1 erik@modtager.example unknown"})
    far_end = carry(script, message, prepare=to_house(house))
    original, notice = far_end.ledger
    assert original.recipients == ["ida@modtager.example"]
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"5.1.1" in notice.content
    assert b"guld" not in notice.content
    assert mail.rows("SELECT state FROM relay_delivery ORDER BY message_id, position") == [
        ("bounced",), ("delivered",), ("delivered",),
    ]  # fmt: skip
    assert mail.rows("SELECT reply FROM relay_attempt WHERE code = 550") == [("5.1.1 *** unknown",)]
    assert mail.rows("SELECT sender FROM relay_message WHERE is_notification") == [("",)]


@pytest.mark.parametrize(("sender", "notify"), [("", ""), ("post@due.example", "NEVER")])
def test_nobody_is_told_who_must_not_be(house: Organisation, sender: str, notify: str) -> None:
    message = mail.message(house.id, sender=sender, notify=notify)
    far_end = carry(Script(rcpt="550 5.1.1 unknown"), message, prepare=to_house(house))
    assert far_end.ledger == []
    assert mail.value("SELECT count(*) FROM relay_message") == 1
    assert mail.value("SELECT state FROM relay_delivery") == "bounced"


def test_refused_notification_is_dropped(house: Organisation) -> None:
    carry(Script(rcpt="550 5.1.1 unknown"), mail.message(house.id), prepare=to_house(house))
    assert mail.value("SELECT count(*) FROM relay_message") == 2
    assert mail.rows("SELECT DISTINCT state FROM relay_delivery") == [("bounced",)]
    assert mail.value("SELECT count(*) FROM relay_content") == 0


@pytest.mark.parametrize(
    ("script", "reason", "duplicate"),
    [
        (Script(rcpt="450 4.2.1 later"), "deferred", False),
        (Script(greeting=Drop()), "unreachable", False),
        (Script(dot=Drop()), "uncertain", True),
        (Script(dot="451 4.3.0 later"), "deferred", False),
    ],
)
def test_temporary_trouble_waits_with_its_reason(
    house: Organisation, script: Script, reason: str, duplicate: bool
) -> None:
    carry(script, mail.message(house.id), prepare=to_house(house))
    ((found, attempts, flagged, wait),) = mail.rows(
        "SELECT reason, attempts, possible_duplicate, due_at - now() FROM relay_queueddelivery"
    )
    assert (found, attempts, flagged) == (reason, 1, duplicate)
    assert timedelta(seconds=45) < wait < timedelta(seconds=75)
    assert mail.value("SELECT possible_duplicate FROM relay_delivery") is duplicate
    assert mail.value("SELECT count(*) FROM relay_content") == 1


def test_route_without_tls_where_it_is_required_waits(house: Organisation) -> None:
    prepare = to_house(house, security=Route.Security.STARTTLS)
    far_end = carry(Script(), mail.message(house.id), prepare=prepare)
    assert far_end.ledger == []
    assert mail.value("SELECT reason FROM relay_queueddelivery") == "tls"


def test_mail_without_route_waits_for_one(house: Organisation) -> None:
    carry(Script(), mail.message(house.id))
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("no_route", 0)]
    assert mail.value("SELECT count(*) FROM relay_attempt") == 0


def test_mail_of_a_stopped_organisation_waits() -> None:
    house = mail.organisation(sending_allowed=False)
    far_end = carry(Script(), mail.message(house.id), prepare=to_house(house))
    assert far_end.connections == 0
    assert mail.value("SELECT reason FROM relay_queueddelivery") == "stopped"


def test_mail_on_a_paused_route_waits(house: Organisation) -> None:
    prepare = to_house(house, paused_at=build.NOW, pause_reason=Route.PauseReason.BY_PERSON)
    carry(Script(), mail.message(house.id), prepare=prepare)
    assert mail.value("SELECT reason FROM relay_queueddelivery") == "route_paused"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def signing_in(house: Organisation) -> Callable[[int], None]:
    """A route with user name and secret over STARTTLS."""

    def prepare(port: int) -> None:
        with build.as_owner():
            secret = routing.seal_secret(house.id, "hemmelig")
        route(
            house,
            port=port,
            security=Route.Security.STARTTLS,
            username="due",
            sealed_secret=secret,
            concurrency=1,
        )

    return prepare


def test_signs_in_over_tls_and_keeps_the_evidence(
    house: Organisation, authority: Authority
) -> None:
    far_end = carry(
        Script(), mail.message(house.id), prepare=signing_in(house), authority=authority
    )
    (received,) = far_end.ledger
    assert received.tls
    assert b"hemmelig" in b64decode(received.user.split()[-1])
    assert mail.rows("SELECT tls_verified, tls_version FROM relay_attempt") == [(True, "TLSv1.3")]


def test_refused_sign_in_pauses_the_route_and_keeps_the_mail(
    house: Organisation, authority: Authority
) -> None:
    far_end = carry(
        Script(auth="535 5.7.8 not you"),
        mail.message(house.id),
        mail.message(house.id),
        prepare=signing_in(house),
        authority=authority,
    )
    assert far_end.ledger == []
    assert mail.rows("SELECT pause_reason FROM relay_route WHERE paused_at IS NOT NULL") == [
        ("sign_in_refused",)
    ]
    assert mail.rows("SELECT DISTINCT reason FROM relay_queueddelivery") == [("sign_in_refused",)]
    assert mail.value("SELECT count(*) FROM relay_content") == 2
    assert mail.value("SELECT count(*) FROM relay_message") == 2


def test_expired_mail_on_a_paused_route_is_told(house: Organisation) -> None:
    message = mail.message(house.id, ago=timedelta(hours=20))
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    carry(Script(), message, ready="SELECT count(*) - 1 FROM relay_queueddelivery"
          " WHERE reason = 'no_route'")  # fmt: skip
    states = "SELECT state FROM relay_delivery ORDER BY message_id"
    assert mail.rows(states) == [("expired",), ("waiting",)]
    assert mail.rows("SELECT recipient FROM relay_queueddelivery") == [("Post@due.example",)]


def test_last_try_that_fails_expires(house: Organisation) -> None:
    message = mail.message(house.id, ago=timedelta(hours=19))
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    carry(
        Script(rcpt="450 4.2.1 later"),
        message,
        prepare=to_house(house),
    )
    assert mail.rows("SELECT state FROM relay_delivery ORDER BY message_id") == [
        ("expired",), ("waiting",),
    ]  # fmt: skip


def test_delay_is_told_once_at_four_hours(house: Organisation) -> None:
    message = mail.message(house.id, ago=timedelta(hours=3, minutes=55))
    prepare = to_house(house)

    def late(port: int) -> None:
        prepare(port)

    async def attempts() -> None:
        await mail.keep(message)
        async with await mail.session() as connection:
            await connection.execute("UPDATE relay_queueddelivery SET attempts = 6")

    mail.run(attempts())
    refused = {"erik@modtager.example": "450 4.2.1 later", "Erik@modtager.example": "450 later"}
    far_end = carry(Script(rcpt=refused), prepare=late)
    (notice,) = far_end.ledger
    assert b"Action: delayed" in notice.content
    assert mail.rows("SELECT delayed_notice_at IS NULL FROM relay_queueddelivery") == [(False,)]
    mail.execute("UPDATE relay_queueddelivery SET due_at = now(), reason = 'new'")
    again = carry(Script(rcpt=refused), prepare=lambda port: mail.execute(
        "UPDATE relay_route SET port = %s", port))  # fmt: skip
    assert again.ledger == []
    assert again.connections == 1


def test_row_that_came_back_with_a_restore_is_settled_quietly(house: Organisation) -> None:
    async def stored() -> None:
        await mail.keep(mail.message(house.id))

    mail.run(stored())
    for key in mail.sealer()._hours.ids():
        mail.sealer()._hours.destroy(key)
    far_end = carry(Script(), prepare=to_house(house))
    assert far_end.connections == 0
    assert mail.rows("SELECT state, final_reason FROM relay_delivery") == [
        ("cancelled", "restored")
    ]
    assert mail.value("SELECT count(*) FROM relay_message") == 1
    assert mail.value("SELECT count(*) FROM relay_content") == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE relay_content SET ciphertext = decode('ff', 'hex') || ciphertext",
        "UPDATE relay_route SET sealed_secret = decode('01', 'hex') || sealed_secret",
        "DELETE FROM accounts_organisationkey",
        "UPDATE accounts_organisationkey SET sealed = decode('ff', 'hex') || sealed",
    ],
)
def test_what_cannot_be_opened_waits_longer_each_time_and_is_told_to_the_operator(
    house: Organisation, authority: Authority, damage: str
) -> None:
    def prepare(port: int) -> None:
        signing_in(house)(port)
        mail.run(mail.keep(mail.message(house.id)))
        mail.execute(damage)

    far_end = carry(Script(), prepare=prepare, authority=authority)
    assert far_end.ledger == []
    ((reason, attempts, wait),) = mail.rows(
        "SELECT reason, attempts, due_at - now() FROM relay_queueddelivery"
    )
    assert (reason, attempts) == ("unopened", 1)
    assert timedelta(seconds=45) < wait < timedelta(seconds=75)
    assert mail.rows("SELECT verdict, code FROM relay_attempt") == [("retry", 0)]
    assert mail.rows("SELECT kind, subject FROM accounts_alert") == [
        ("mail-unopened", str(house.id))
    ]


def test_sender_is_told_of_what_could_not_be_opened_in_time(house: Organisation) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
        mail.run(mail.keep(mail.message(house.id, ago=timedelta(hours=19))))
        mail.execute("UPDATE relay_content SET ciphertext = decode('ff', 'hex') || ciphertext")

    far_end = carry(Script(), prepare=prepare, ready=WAITING)
    (notice,) = far_end.ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert b"Status: 4.4.7" in notice.content
    assert mail.rows("SELECT state FROM relay_delivery ORDER BY message_id") == [
        ("expired",), ("delivered",),
    ]  # fmt: skip


def test_surplus_shift_leaves_at_once(house: Organisation) -> None:
    async def scenario() -> None:
        async with FarEnd() as far_end:
            stage = Stage(far_end)
            first = asyncio.create_task(stage.shift().run())
            await asyncio.sleep(0.3)
            await asyncio.wait_for(stage.shift().run(), 2)
            assert not first.done()
            stage.stopping = True
            await first
            # The slot is free again.
            stage.stopping = False
            next_one = asyncio.create_task(stage.shift().run())
            await asyncio.sleep(0.3)
            assert not next_one.done()
            stage.stopping = True
            await next_one

    mail.run(scenario())


def test_old_shift_leaves_when_it_has_a_successor_and_not_before(house: Organisation) -> None:
    async def scenario() -> None:
        async with FarEnd() as far_end:
            stage = Stage(far_end)
            asked = []

            def nobody() -> bool:
                asked.append(1)
                return False

            lonely = stage.shift(claim_seconds=0.1, hand_over=nobody)
            working = asyncio.create_task(lonely.run())
            await until(lambda: asked)
            assert not working.done()
            stage.stopping = True
            await working
            stage.stopping = False
            relieved = stage.shift(claim_seconds=0.1, hand_over=lambda: True)
            await asyncio.wait_for(relieved.run(), 5)

    mail.run(scenario())


@pytest.mark.parametrize(
    ("script", "unsent"), [(Script(data=Silence()), True), (Script(dot=Silence()), False)]
)
def test_stop_releases_what_certainly_did_not_leave(
    house: Organisation, script: Script, unsent: bool
) -> None:
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(script, port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await until(lambda: far_end.used.get("data" if unsent else "dot"))
            stage.stopping = True
            await asyncio.wait_for(working, 5)

    mail.run(scenario())
    ((owner, dot, attempts),) = mail.rows(
        "SELECT lease_owner IS NULL, dot_at IS NULL, attempts FROM relay_queueddelivery"
    )
    assert (owner, dot, attempts) == (unsent, unsent, 0)


def test_worker_that_died_after_the_dot_is_flagged_and_sent_again(house: Organisation) -> None:
    """The far end has it twice, with the flag; that is the most a crash may cost."""
    port = free_port()
    route(house, port=port)

    async def scenario() -> FarEnd:
        await mail.keep(mail.message(house.id))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            crashing = stage.shift()

            async def die(*_: object) -> frozenset[int]:
                await asyncio.sleep(3600)
                return frozenset()

            crashing.courier.leases.settle = die  # type: ignore[method-assign, assignment]
            working = asyncio.create_task(crashing.run())
            await until(lambda: far_end.ledger)
            await asyncio.sleep(0.2)
            stage.stopping = True
            await working
            stage.stopping, stage.offset = False, timedelta(seconds=61)
            working = asyncio.create_task(stage.shift().run())
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return far_end

    assert len(mail.run(scenario()).ledger) == 2
    assert mail.rows("SELECT state, possible_duplicate FROM relay_delivery") == [
        ("delivered", True)
    ]


def test_new_mail_wakes_an_idle_shift(house: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "POLL_SECONDS", 30.0)
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(shifts.work(stage.shift()))
            await asyncio.sleep(0.5)
            bell = Bell(settings.REDIS_URL)
            bell.start()
            store = Store(mail.dsn(), mail.sealer(), mail.now, bell.ring)
            await store.start()
            await store.store(mail.message(house.id))
            await until(lambda: far_end.ledger, 2)
            await store.stop()
            await bell.stop()
            stage.stopping = True
            await working

    mail.run(scenario())


def test_shift_works_without_redis(house: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(shifts.work(stage.shift()))
            bell = Bell(settings.REDIS_URL)
            bell.start()
            bell.ring()
            await asyncio.sleep(0.3)
            await mail.keep(mail.message(house.id))
            await until(lambda: far_end.ledger, 3)
            await bell.stop()
            stage.stopping = True
            await working

    mail.run(scenario())


def test_slow_server_of_one_organisation_does_not_delay_another(house: Organisation) -> None:
    other = mail.organisation("Andet Hus A/S")
    slow_port, port = free_port(), free_port()
    route(house, port=slow_port, concurrency=2)
    route(other, port=port)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(250)))
        async with (
            FarEnd(Script(greeting=Silence()), port=slow_port) as tarpit,
            FarEnd(port=port) as far_end,
        ):
            stage = Stage(far_end)
            shift = stage.shift()
            shift.courier.transport._guard = Guard(  # type: ignore[attr-defined]
                lookup=system_lookup, loopback_ports=frozenset({port, slow_port})
            )
            working = asyncio.create_task(shift.run())
            await until(lambda: tarpit.connections)
            await mail.keep(mail.message(other.id, ago=-timedelta(seconds=0)))
            await until(lambda: far_end.ledger, 3)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NULL") == 250


def test_transport_that_raises_counts_as_a_try(house: Organisation) -> None:
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()

            async def broken(*_: object) -> None:
                raise RuntimeError("erik@modtager.example")

            shift.courier.transport.send = broken  # type: ignore[assignment, method-assign]
            working = asyncio.create_task(shift.run())
            await becomes(UNTRIED, 0)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.rows("SELECT attempts, reason FROM relay_queueddelivery") == [(1, "unreachable")]
