# SPDX-License-Identifier: AGPL-3.0-or-later
"""A shift that delivers straight to the recipients' mail servers, on the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from accounts.models import Organisation
from config.stack.state import free_port
from relay import backoff, resting, returnpaths, tasks
from relay.models import Destination, Route
from relay.queue import Accepted
from relay.returning import Returning
from relay.returnpaths import ReturnPath
from relay.transports import busy
from tests import build
from tests.relay import mail
from tests.relay.smtp.signatures import key, verifies
from tests.relay.stage import UNTRIED, WAITING, Stage, becomes, count, route, until
from tests.relay.test_signing import CONTENT, domain, signs_with
from tests.testbed.dns import NameServer
from tests.testbed.smtp import Drop, FarEnd, Script, Silence, Slow

pytestmark = pytest.mark.django_db(transaction=True)

MARKED = "SELECT count(*) FROM relay_queueddelivery WHERE dot_at IS NOT NULL"
LATER = "SELECT count(*) FROM relay_queueddelivery WHERE due_at > clock_timestamp()"
RESTS = "SELECT count(*) FROM relay_destination WHERE rest_until IS NOT NULL"


@asynccontextmanager
async def working(
    *far_ends: FarEnd,
    zone: str = "",
    offset: timedelta = timedelta(),
    returning: str = "",
    port: int = 0,
) -> AsyncIterator[Stage]:
    """A shift, and a server each for a.example, b.example, … on an address of its own.

    `returning`: where reports are led.
    """
    port, records = port or free_port(), [zone]
    async with AsyncExitStack() as opened:
        for number, far_end in enumerate(far_ends):
            far_end.address, far_end.port = f"127.0.0.{number + 2}", port
            await opened.enter_async_context(far_end)
            domain = f"{'abc'[number]}.example"
            records.append(f"{domain}. 60 IN MX 10 mx.{domain}.")
            records.append(f"mx.{domain}. 60 IN A {far_end.address}")
        dns = opened.enter_context(NameServer("\n".join(records)))
        stage = Stage(far_ends[0], dns=dns, offset=offset)
        made = stage.shift()
        if returning:
            made.courier.paths = Returning(mail.dsn(), returning, stage.now)
        shift = asyncio.create_task(made.run())
        try:
            yield stage
        finally:
            stage.stopping = True
            await shift


def more_than(far_end: FarEnd, count: int) -> bool:
    return len(far_end.ledger) > count


@pytest.fixture
def direct(house: Organisation) -> Organisation:
    """An organisation whose mail goes straight to its recipients."""
    route(house, kind=Route.Kind.DIRECT, host="", port=25, security=Route.Security.OPPORTUNISTIC)
    return house


def carried(messages: Sequence[Accepted], *far_ends: FarEnd, ready: str = UNTRIED, **more) -> None:
    async def scenario() -> None:
        await mail.keep(*messages)
        async with working(*far_ends, **more):
            await becomes(ready, 0)

    mail.run(scenario())


@pytest.mark.behaviour(28)
def test_message_goes_once_to_each_domain_with_its_own_recipients(direct: Organisation) -> None:
    one, two = FarEnd(), FarEnd()
    message = mail.message(direct.id, "Ida@A.example", "bo@b.example", "eva@a.example")
    carried([message], one, two, ready=WAITING)
    assert [sorted(each.recipients) for each in one.ledger] == [["Ida@A.example", "eva@a.example"]]
    assert [each.recipients for each in two.ledger] == [["bo@b.example"]]
    assert {each.content for each in one.ledger + two.ledger} == {message.content}
    attempts = mail.rows(
        "SELECT position, verdict, kind, remote_host, tls_demand, tls_result FROM relay_attempt"
        " ORDER BY position"
    )
    assert attempts == [
        (0, "delivered", "direct", "mx.a.example", "may", "not_offered"),
        (1, "delivered", "direct", "mx.b.example", "may", "not_offered"),
        (2, "delivered", "direct", "mx.a.example", "may", "not_offered"),
    ]


@pytest.mark.behaviour(42)
def test_what_leaves_is_signed_and_reports_of_it_are_led_back_here(direct: Organisation) -> None:
    signs_with(domain(direct))
    one, two = FarEnd(), FarEnd()
    to = ("ida@a.example", "eva@a.example", "bo@b.example")
    message = mail.message(direct.id, *to, sender="post@kunde.example", content=CONTENT)
    carried([message], one, two, ready=WAITING, returning="retur.brevdue.example")
    for far_end, position in ((one, None), (two, 2)):
        (received,) = far_end.ledger
        local, _, host = received.sender.partition("@")
        assert host == "retur.brevdue.example"
        assert returnpaths.read(local, mail.now()) == ReturnPath(message.id, position)
        assert verifies(received.content, key()) == [True]
        assert received.content.endswith(CONTENT)


@pytest.mark.behaviour(28)
def test_failure_of_one_domain_is_nothing_to_the_others(direct: Organisation) -> None:
    one, two = FarEnd(), FarEnd(Script(rcpt="450 4.2.1 later"))
    message = mail.message(
        direct.id, "ida@a.example", "bo@b.example", "eva@missing.example", sender="post@a.example"
    )
    carried([message], one, two)
    states = mail.rows(
        "SELECT position, state FROM relay_delivery WHERE message_id = %s ORDER BY position",
        message.id,
    )
    assert states == [(0, "delivered"), (1, "waiting"), (2, "bounced")]
    # Mail to a domain that does not exist ends in its first attempt.
    found = mail.rows("SELECT enhanced, scope, is_hard FROM relay_attempt WHERE position = 2")
    assert found == [("5.1.2", "recipient", True)]


@pytest.mark.behaviour(22)
def test_mark_before_the_dot_is_of_that_domains_recipients_alone(direct: Organisation) -> None:
    """A process that dies then leaves no doubt about the others."""
    stuck, silent = FarEnd(Script(dot=Silence())), FarEnd(Script(greeting=Silence()))

    async def scenario() -> None:
        await mail.keep(mail.message(direct.id, "ida@a.example", "bo@b.example"))
        async with working(stuck, silent):
            await until(lambda: stuck.used.get("dot") and silent.connections)
            assert await count(MARKED) == 1

    mail.run(scenario())
    # Told to stop, the shift hands back what certainly did not leave.
    rows = mail.rows(
        "SELECT position, lease_owner IS NULL, dot_at IS NULL FROM relay_queueddelivery"
        " ORDER BY position"
    )
    assert rows == [(0, False, False), (1, True, True)]


def test_lost_lease_of_one_domain_does_not_cut_off_another(direct: Organisation) -> None:
    slow, lost = FarEnd(Script(mail=Slow(1, "250 ok"))), FarEnd(Script(mail=Slow(0.3, "250 ok")))

    async def scenario() -> None:
        await mail.keep(mail.message(direct.id, "ida@a.example", "bo@b.example"))
        async with working(slow, lost):
            await until(lambda: slow.used.get("mail") and lost.used.get("mail"))
            async with await mail.session() as session:
                await session.execute(
                    "UPDATE relay_queueddelivery SET cancelled_at = now() WHERE position = 1"
                )
            await until(lambda: slow.ledger)

    mail.run(scenario())
    assert lost.ledger == []
    assert mail.value("SELECT state FROM relay_delivery WHERE position = 0") == "delivered"


@pytest.mark.behaviour(25)
def test_dead_domain_rests_and_mail_to_others_goes_on(direct: Organisation, settings) -> None:
    settings.RELAY_DIRECT_CONNECTIONS = 1
    alive, dead = FarEnd(), FarEnd(Script(greeting=Drop()))
    lost = [mail.message(direct.id, f"bo{n}@b.example") for n in range(12)]

    async def scenario() -> None:
        await mail.keep(*lost)
        async with working(alive, dead):
            await becomes(RESTS, 1)
            await mail.keep(*(mail.message(direct.id, "ida@a.example") for _ in range(3)))
            await until(lambda: len(alive.ledger) == 3)

    mail.run(scenario())
    assert dead.connections == resting.FAILURES
    holds = mail.rows("SELECT DISTINCT domain, reason FROM relay_hold")
    assert holds == [("due.example @b.example", "resting")]


@pytest.mark.behaviour(25)
def test_what_is_kept_back_is_put_off_piece_by_piece_and_nothing_else_is(
    direct: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No claim walks it then, and it does not come back all at once."""
    monkeypatch.setattr(backoff, "PIECE", 2)
    now = mail.now()
    until = now + timedelta(seconds=60)

    async def scenario() -> None:
        kept = [mail.message(direct.id, f"bo{n}@B.example") for n in range(5)]
        await mail.keep(*kept, mail.message(direct.id, "ida@a.example"))
        one = backoff.Backoff(mail.dsn(), lambda: now)
        await one.leave_alone((direct.id, "due.example"), "b.example", until, "resting")
        await asyncio.gather(*one._tasks)
        await one.close()

    mail.run(scenario())
    due = mail.rows(
        "SELECT due_at, count(*) FROM relay_queueddelivery WHERE due_at >= %s"
        " GROUP BY due_at ORDER BY due_at",
        until,
    )
    minute = timedelta(seconds=60)
    assert due == [(until, 2), (until + minute, 2), (until + 2 * minute, 1)]
    assert mail.rows("SELECT domain, ends_at FROM relay_hold") == [
        ("due.example @b.example", until)
    ]
    # By another route it may not go there.
    with build.as_role("duty"):
        tasks.send_what_waited(organisation_id=str(direct.id))
    assert mail.rows("SELECT * FROM relay_hold") == []
    assert mail.value(LATER) == 0


@pytest.mark.behaviour(25)
@pytest.mark.parametrize(("reason", "put_off"), [("resting", "resting"), ("", "new")])
def test_what_was_let_go_is_kept_back_again_when_it_is_found_dead_still(
    direct: Organisation, reason: str, put_off: str
) -> None:
    begun = mail.now()
    until, at = begun + timedelta(minutes=10), [begun]

    async def scenario() -> list[int]:
        await mail.keep(mail.message(direct.id, "bo@b.example"))
        one, found = backoff.Backoff(mail.dsn(), lambda: at[-1]), []
        for seconds in (0, 1, 6):
            async with await mail.session() as session:
                await session.execute("DELETE FROM relay_hold")
            at.append(begun + timedelta(seconds=seconds))
            await one.leave_alone((direct.id, "due.example"), "b.example", until, reason)
            await asyncio.gather(*one._tasks)
            found.append(await count("SELECT count(*) FROM relay_hold"))
        await one.close()
        return found

    assert mail.run(scenario()) == [1, 0, 1]
    assert mail.value("SELECT reason FROM relay_queueddelivery") == put_off


@pytest.mark.behaviour(25)
def test_domain_that_rests_keeps_no_mail_back_that_a_server_of_the_senders_takes(
    direct: Organisation, settings
) -> None:
    settings.RELAY_DIRECT_CONNECTIONS = 1
    port, alive, dead = free_port(), FarEnd(), FarEnd(Script(greeting=Drop()))
    route(direct, host="127.0.0.2", port=port, domain=domain(direct, "andet.example"))
    lost = [mail.message(direct.id, f"bo{n}@b.example") for n in range(12)]
    other = mail.message(direct.id, "eva@b.example", sender="post@andet.example")

    async def scenario() -> None:
        await mail.keep(*lost)
        async with working(alive, dead, port=port):
            await becomes("SELECT count(*) FROM relay_hold", 1)
            await mail.keep(other)
            await until(lambda: alive.ledger, 15)

    mail.run(scenario())
    assert [each.recipients for each in alive.ledger] == [["eva@b.example"]]


@pytest.mark.behaviour(25)
def test_what_was_left_alone_goes_by_another_route_at_once(direct: Organisation, settings) -> None:
    settings.RELAY_DIRECT_CONNECTIONS = 1
    port, own = free_port(), FarEnd()
    waiting = [mail.message(direct.id, f"bo{n}@b.example") for n in range(12)]

    async def found_dead() -> None:
        await mail.keep(*waiting)
        async with working(FarEnd(), FarEnd(Script(greeting=Drop())), port=port):
            await becomes("SELECT count(*) FROM relay_hold", 1)

    async def by_another() -> None:
        async with working(own, port=port):
            # The others were tried, and have a time of their own.
            await until(lambda: len(own.ledger) == len(waiting) - resting.FAILURES, 15)

    mail.run(found_dead())
    with build.as_owner():
        Route.objects.update(paused_at=build.NOW, pause_reason=Route.PauseReason.BY_PERSON)
    route(direct, host="127.0.0.2", port=port, priority=20)
    with build.as_role("duty"):
        tasks.send_what_waited(organisation_id=str(direct.id))
    mail.run(by_another())


@pytest.mark.behaviour(25)
def test_domain_that_takes_forever_holds_up_no_others(
    direct: Organisation, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RELAY_DIRECT_CONNECTIONS = 2
    alive, tarpit = FarEnd(), FarEnd(Script(mail=Silence()))
    stuck = [mail.message(direct.id, f"bo{n}@b.example") for n in range(300)]

    async def scenario() -> None:
        await mail.keep(*stuck)
        async with working(alive, tarpit):
            await becomes("SELECT count(*) FROM relay_hold", 1)
            for _ in range(5):
                before = len(alive.ledger)
                await mail.keep(mail.message(direct.id, "ida@a.example"))
                await until(partial(more_than, alive, before), 10)
            assert tarpit.most_open <= 2

    mail.run(scenario())
    late = "SELECT count(*) FROM relay_queueddelivery WHERE attempts > 0"
    assert mail.value(late) == 0


@pytest.mark.behaviour(34)
def test_policy_of_the_recipients_domain_keeps_mail_waiting_with_a_reason_of_its_own(
    direct: Organisation,
) -> None:
    plain = FarEnd()
    with build.as_owner():
        Destination.objects.create(
            name="a.example",
            used_on=mail.now().date(),
            sts_id="a",
            sts_mode="enforce",
            sts_mx=["*.a.example"],
            sts_fetched_at=mail.now(),
            sts_expires_at=mail.now() + timedelta(days=1),
        )
    waiving = replace(mail.message(direct.id, "eva@a.example"), tls_optional=True)
    carried([mail.message(direct.id, "ida@a.example"), waiving], plain)
    assert [each.recipients for each in plain.ledger] == [["eva@a.example"]]
    assert mail.rows("SELECT reason FROM relay_queueddelivery") == [("recipient_tls",)]
    demands = mail.rows("SELECT tls_demand, tls_result FROM relay_attempt ORDER BY tls_demand")
    assert demands == [("may", "not_offered"), ("sts", "not_offered")]


def test_busy_domain_is_left_alone_for_longer_while_nothing_moves() -> None:
    now, one, lengths = build.NOW, busy.Busy(), []
    for _ in range(7):
        ends = one.until("a.example", now)
        assert one.until("a.example", now) == ends
        lengths.append(ends - now)
        now = ends
    assert lengths[0] == busy.SHORTEST
    assert lengths == sorted(lengths)
    assert lengths[-1] == busy.LONGEST
    assert one.until("b.example", now) - now == busy.SHORTEST
    one.moved("a.example")
    assert one.until("a.example", now) - now == busy.SHORTEST
