# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shifts against scripted servers, over real sockets, as the database role of the mail path."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings

from accounts.models import Organisation
from config.stack.state import free_port
from relay import shift as shifts
from relay.queue import Leased, Store
from relay.transports import seats
from relay.turns import PLACES
from relay.wake import WakeCaller
from tests.relay import mail
from tests.relay.stage import (
    SLOTS,
    UNTRIED,
    WAITING,
    Stage,
    becomes,
    route,
    until,
)
from tests.testbed.smtp import FarEnd, Script, Silence

pytestmark = pytest.mark.django_db(transaction=True)


def test_surplus_shift_leaves_at_once(house: Organisation) -> None:
    async def scenario() -> None:
        async with FarEnd() as far_end:
            stage = Stage(far_end)
            first = asyncio.create_task(stage.shift().run())
            await becomes(SLOTS, 1)
            await asyncio.wait_for(stage.shift().run(), 30)
            assert not first.done()
            stage.stopping = True
            await first
            # The slot is free again.
            stage.stopping = False
            await becomes(SLOTS, 0)
            next_one = asyncio.create_task(stage.shift().run())
            await becomes(SLOTS, 1)
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
            await asyncio.wait_for(relieved.run(), 30)

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
            await asyncio.wait_for(working, 30)

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

            sent = asyncio.Event()

            async def die(*_: object) -> frozenset[int]:
                sent.set()
                await asyncio.Event().wait()
                return frozenset()

            crashing.courier.leases.settle = die  # type: ignore[method-assign, assignment] # planted
            working = asyncio.create_task(crashing.run())
            await sent.wait()
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
            caller = WakeCaller(settings.REDIS_URL)
            caller.start()
            store = Store(mail.dsn(), mail.sealer(), mail.now, caller.call)
            await store.start()
            await store.store(mail.message(house.id))
            # Whatever it looked for when it began, it is idle once this has gone.
            await becomes(WAITING, 0)
            await store.store(mail.message(house.id))
            await until(lambda: len(far_end.ledger) == 2, 5)
            await store.stop()
            await caller.stop()
            stage.stopping = True
            await working

    mail.run(scenario())


@pytest.mark.behaviour(20)
def test_shift_works_without_redis(house: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(shifts.work(stage.shift()))
            caller = WakeCaller(settings.REDIS_URL)
            caller.start()
            caller.call([house.id])
            await becomes(SLOTS, 1)
            await mail.keep(mail.message(house.id))
            await until(lambda: far_end.ledger, 5)
            await caller.stop()
            stage.stopping = True
            await working

    mail.run(scenario())


@pytest.mark.behaviour(25)
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
            stage = Stage(far_end, beside=slow_port)
            shift = stage.shift()
            working = asyncio.create_task(shift.run())
            await until(lambda: tarpit.connections)
            await mail.keep(mail.message(other.id, ago=-timedelta(seconds=0)))
            await until(lambda: far_end.ledger, 3)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NULL") == 250


@pytest.mark.behaviour(25)
def test_six_silent_servers_do_not_delay_a_seventh_organisation(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has more due than a shift may hold of it; and the shift still ends when told to."""
    # Otherwise most of it goes back, and nothing is held.
    monkeypatch.setattr(seats, "LINE_SECONDS", 600.0)
    silent_port, port = free_port(), free_port()
    houses = [house, *(mail.organisation(f"Hus {number} ApS") for number in range(5))]
    seventh = mail.organisation("Syvende Hus A/S")
    for each in houses:
        route(each, port=silent_port, concurrency=1)
    route(seventh, port=port)

    async def scenario() -> int:
        await mail.keep(*(mail.message(each.id) for each in houses for _ in range(210)))
        async with (
            FarEnd(Script(greeting=Silence()), port=silent_port),
            FarEnd(port=port) as far_end,
        ):
            stage = Stage(far_end, beside=silent_port)
            shift = stage.shift()
            working = asyncio.create_task(shift.run())
            # Nothing comes back from any of them, and no more of theirs is claimed.
            held = -1
            while held <= 300 or held != len(shift._jobs):
                held = len(shift._jobs)
                await asyncio.sleep(1.5)
            await mail.keep(*(mail.message(seventh.id) for _ in range(20)))
            await until(lambda: len(far_end.ledger) == 20, 30)
            stage.stopping = True
            await asyncio.wait_for(working, 30)
            return held

    with ends_within(100):
        assert 300 < mail.run(scenario()) < PLACES * 3 // 4
    released = "SELECT count(*) FROM relay_queueddelivery WHERE lease_owner IS NULL"
    assert mail.value(released) == 1260


def test_row_that_cannot_be_read_stops_nobody(house: Organisation) -> None:
    """Python has no instant for it; it is put off by its number, and the operator hears of it."""
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(12)))
        async with await mail.session() as session:
            await session.execute(
                "UPDATE relay_queueddelivery SET accepted_at = 'infinity'"
                " WHERE id = (SELECT min(id) + 5 FROM relay_queueddelivery)"
            )
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes(WAITING, 1)
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE strikes = 0", 0)
            assert len(far_end.ledger) == 11
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.rows("SELECT strikes, lease_owner, reason FROM relay_queueddelivery") == [
        (1, None, "new")
    ]
    assert mail.rows("SELECT kind FROM accounts_alert") == [("mail-unreadable",)]


# A fault of the database's at one row, whenever a shift is to have it.
FAULT = """
CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.lease_owner IS NOT NULL AND NEW.position = 1 THEN
        RAISE EXCEPTION 'planted' USING ERRCODE = 'XX001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fault BEFORE UPDATE ON relay_queueddelivery FOR EACH ROW EXECUTE FUNCTION fault();
"""


def test_row_that_the_database_cannot_hand_out_stops_nobody(house: Organisation) -> None:
    """Claims grow smaller until they are for that row alone; then it is put off."""
    port = free_port()
    route(house, port=port)
    mail.execute(FAULT)

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(10)))
        await mail.keep(mail.message(house.id, "ida@modtager.example", "erik@modtager.example"))
        await mail.keep(*(mail.message(house.id) for _ in range(10)))
        async with FarEnd(port=port) as far_end:
            stage = Stage(far_end)
            working = asyncio.create_task(stage.shift().run())
            await becomes(WAITING, 1)
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE strikes = 0", 0)
            assert len(far_end.ledger) == 21
            stage.stopping = True
            await working

    try:
        mail.run(scenario())
    finally:
        mail.execute("DROP TRIGGER fault ON relay_queueddelivery; DROP FUNCTION fault()")
    assert mail.rows("SELECT strikes, position FROM relay_queueddelivery") == [(1, 1)]


@contextmanager
def ends_within(seconds: int) -> Iterator[None]:
    """Bound a block by a signal: no time limit inside an event loop ends a loop that spins."""

    def too_long(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def test_what_runs_beside_the_mail_goes_on_after_a_fault(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it leases run out under mail that is on its way, and nobody hears the stop."""
    monkeypatch.setattr(shifts, "RENEW_SECONDS", 0.1)
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(Script(data=Silence()), port=port) as far_end:
            stage = Stage(far_end)
            asked: list[int] = []

            def stop() -> bool:
                asked.append(1)
                if len(asked) == 1:
                    raise RuntimeError
                return stage.stopping

            shift = stage.shift(stop=stop)
            renew, renewed = shift.courier.leases.renew, []

            async def renew_later(leases: tuple[Leased, ...]) -> frozenset[int]:
                renewed.append(1)
                if len(renewed) == 1:
                    raise LookupError
                return await renew(leases)

            shift.courier.leases.renew = renew_later  # type: ignore[method-assign] # planted
            working = asyncio.create_task(shift.run())
            await until(lambda: len(renewed) > 1)
            stage.stopping = True
            await asyncio.wait_for(working, 30)

    mail.run(scenario())
    assert sorted(mail.rows("SELECT kind, subject FROM accounts_alert")) == [
        ("watch-ended", "leases"),
        ("watch-ended", "shift"),
    ]


def test_shift_ends_while_the_database_is_away(house: Organisation) -> None:
    port = free_port()
    route(house, port=port)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with FarEnd(Script(data=Silence()), port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()
            working = asyncio.create_task(shift.run())
            await until(lambda: far_end.used.get("data"))
            connection = shift.courier.leases._connection
            connection._dsn = "host=127.0.0.1 port=1 dbname=x"
            await connection.close()
            stage.stopping = True
            await asyncio.wait_for(working, 30)

    mail.run(scenario())


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

            shift.courier.transport.send = broken  # type: ignore[assignment, method-assign] # planted
            working = asyncio.create_task(shift.run())
            await becomes(UNTRIED, 0)
            stage.stopping = True
            await working

    mail.run(scenario())
    assert mail.rows("SELECT attempts, reason FROM relay_queueddelivery") == [(1, "unreachable")]


def test_surplus_shift_opens_nothing_but_the_look_for_a_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beat sends one every two seconds, and most of them are surplus."""
    opened: list[bool] = []

    def note(*_: object, **__: object) -> None:
        opened.append(True)
        raise LookupError

    monkeypatch.setattr(shifts, "open_shift", note)
    slot = shifts.Slot(mail.dsn(), settings.RELAY_SHIFTS)

    async def taken() -> None:
        assert await slot.take()
        try:
            await asyncio.to_thread(work)
        finally:
            await slot.leave()

    def work() -> None:
        shifts.work_a_shift(stop=lambda: True, hand_over=lambda: False)

    mail.run(taken())
    assert not opened
    with pytest.raises(LookupError):
        work()
