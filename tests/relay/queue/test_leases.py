# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from relay.queue import LEASE, Ask, Leased, LeaseLost, Leases, Refused, Settlement, Tried, Work
from relay.queue.leases import Begin, PutOffNext
from relay.smtp.replies import Outcome, Scope, Verdict
from tests.relay import mail
from tests.relay.stage import BLOCKED, becomes

pytestmark = pytest.mark.django_db(transaction=True)


class Watch:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> Any:
        return mail.now() + self.offset


@asynccontextmanager
async def holders(count: int = 1, *, watch: Watch | None = None) -> AsyncIterator[list[Leases]]:
    opened = [Leases(mail.dsn(), mail.sealer(), watch or mail.now) for _ in range(count)]
    for holder in opened:
        await holder.start()
    try:
        yield opened
    finally:
        for holder in opened:
            await holder.stop()


def tried(verdict: Verdict, code: int = 250, text: str = "ok") -> Tried:
    outcome = Outcome(verdict=verdict, scope=Scope.RECIPIENT, code=code, text=text)
    return Tried(started_at=mail.now(), finished_at=mail.now(), outcome=outcome)


def delivered(lease: Leased) -> Settlement:
    return Settlement(
        delivery=lease, state="delivered", at=mail.now(), tried=tried(Verdict.DELIVERED)
    )


def deferred(lease: Leased, **fields: Any) -> Settlement:
    return Settlement(
        delivery=lease,
        state="waiting",
        at=mail.now(),
        due_at=mail.now() + timedelta(minutes=1),
        reason="deferred",
        tried=tried(Verdict.RETRY, 450, "erik@modtager.example: later"),
        **fields,
    )


async def claim(holder: Leases, limit: int = 200) -> tuple[Work, ...]:
    return (await holder.claim(Ask(limit=limit))).works


async def one(holder: Leases) -> Work:
    (work,) = await claim(holder)
    return work


def test_claim_gives_envelope_and_content_once() -> None:
    house = mail.organisation()
    message = mail.message(house.id, "Erik@modtager.example", "ida@modtager.example")

    async def scenario() -> None:
        await mail.keep(message)
        async with holders() as (holder,):
            work = await one(holder)
            assert work.envelope(work.deliveries) == message.envelope
            assert [lease.fence for lease in work.deliveries] == [1, 1]
            assert work.ciphertext is not None
            sealer = mail.sealer()
            holder._sealer = sealer
            await holder.learn({house.id})
            assert sealer.open(work, work.ciphertext) == mail.CONTENT
            assert await claim(holder) == ()

    mail.run(scenario())


def test_large_content_is_read_by_itself() -> None:
    house = mail.organisation()
    content = bytes(range(256)) * 2_000

    async def scenario() -> None:
        await mail.keep(mail.message(house.id, content=content))
        async with holders() as (holder,):
            work = await one(holder)
            assert work.ciphertext is None
            sealed = await holder.content(work.message_id)
            assert sealed is not None
            await holder.learn({house.id})
            assert holder._sealer.open(work, sealed) == content

    mail.run(scenario())


def test_content_that_is_gone_reads_as_none() -> None:
    async def scenario() -> bytes | None:
        async with holders() as (holder,):
            return await holder.content(uuid4())

    assert mail.run(scenario()) is None


@pytest.mark.behaviour(21)
def test_two_claimers_never_share_a_delivery() -> None:
    house = mail.organisation()

    async def scenario() -> list[int]:
        await mail.keep(*(mail.message(house.id) for _ in range(120)))
        async with holders(2) as (left, right):
            claims = await asyncio.gather(*(claim(d, 10) for _ in range(8) for d in (left, right)))
        return [lease.id for works in claims for work in works for lease in work.deliveries]

    ids = mail.run(scenario())
    assert len(ids) == len(set(ids)) == 120


def test_crowded_organisation_leaves_room_for_others() -> None:
    one_house, other = mail.organisation(), mail.organisation("Andet Hus A/S")

    async def scenario() -> tuple[Work, ...]:
        await mail.keep(mail.message(one_house.id), mail.message(other.id))
        async with holders() as (holder,):
            asked = Ask(limit=200, rooms=((one_house.id, 0),))
            return (await holder.claim(asked)).works

    assert [work.organisation_id for work in mail.run(scenario())] == [other.id]


@pytest.mark.behaviour(27)
def test_last_final_state_destroys_the_content() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id, "erik@modtager.example", "ida@modtager.example"))
        async with holders() as (holder,):
            work = await one(holder)
            first, second = work.deliveries
            await holder.settle(work, (delivered(first),))
            async with await mail.session() as other:
                found = await (
                    await other.execute("SELECT open_deliveries FROM relay_content")
                ).fetchall()
                assert found == [(1,)]
            await holder.settle(work, (delivered(second),))

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == 0
    assert mail.value("SELECT content_destroyed_at IS NOT NULL FROM relay_message") is True
    assert (
        mail.rows("SELECT state, finished_at IS NULL FROM relay_delivery")
        == [("delivered", False)] * 2
    )
    assert mail.value("SELECT count(*) FROM relay_attempt") == 2


def test_deferred_delivery_waits_with_its_reason_and_keeps_the_content() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
            await holder.mark_dots(work.deliveries)
            await holder.settle(work, tuple(map(deferred, work.deliveries)))
            assert await claim(holder) == ()

    mail.run(scenario())
    assert mail.rows(
        "SELECT attempts, reason, lease_owner, dot_at, due_at > now() FROM relay_queueddelivery"
    ) == [(1, "deferred", None, None, True)]
    assert mail.rows("SELECT number, verdict, code, reply FROM relay_attempt") == [
        (1, "retry", 450, "*** later")
    ]
    assert mail.value("SELECT state FROM relay_delivery") == "waiting"
    assert mail.value("SELECT count(*) FROM relay_content") == 1


@pytest.mark.behaviour(23)
def test_late_worker_changes_nothing() -> None:
    """The lease ran out before the dot: the second shift has it, the first one's result is void."""
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders(2, watch=watch) as (late, quick):
            old = await one(late)
            watch.offset = LEASE + timedelta(seconds=1)
            new = await one(quick)
            assert new.deliveries[0].fence == old.deliveries[0].fence + 1
            assert not new.deliveries[0].possible_duplicate
            with pytest.raises(LeaseLost):
                await late.mark_dots(old.deliveries)
            assert await late.renew(old.deliveries) == frozenset()
            notice = mail.message(house.id, "post@due.example", sender="")
            assert await late.settle(old, (delivered(old.deliveries[0]),), notice) == frozenset()
            await late.release(old.deliveries)
            assert await quick.renew(new.deliveries) == {new.deliveries[0].id}

    mail.run(scenario())
    assert mail.rows("SELECT fence, lease_owner IS NULL FROM relay_queueddelivery") == [(2, False)]
    assert mail.value("SELECT count(*) FROM relay_attempt") == 0
    assert mail.value("SELECT count(*) FROM relay_message") == 1


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.behaviour(22)
def test_crash_is_reclaimed_and_flagged_only_after_the_dot(dot: bool) -> None:
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> Work:
        await mail.keep(mail.message(house.id))
        async with holders(2, watch=watch) as (crashed, heir):
            work = await one(crashed)
            if dot:
                await crashed.mark_dots(work.deliveries)
            watch.offset = LEASE + timedelta(seconds=1)
            return await one(heir)

    (lease,) = mail.run(scenario()).deliveries
    assert lease.possible_duplicate is dot
    assert lease.reason == ("uncertain" if dot else "new")
    assert lease.attempts == 0


def test_possible_duplicate_reaches_the_log() -> None:
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders(2, watch=watch) as (crashed, heir):
            await crashed.mark_dots((await one(crashed)).deliveries)
            watch.offset = LEASE + timedelta(seconds=1)
            work = await one(heir)
            await heir.settle(work, (delivered(work.deliveries[0]),))

    mail.run(scenario())
    assert mail.value("SELECT possible_duplicate FROM relay_delivery") is True


@pytest.mark.behaviour(23)
def test_lease_is_kept_by_its_owner() -> None:
    house = mail.organisation()
    watch = Watch()

    async def scenario() -> tuple[Work, ...]:
        await mail.keep(mail.message(house.id))
        async with holders(2, watch=watch) as (owner, other):
            work = await one(owner)
            watch.offset = LEASE - timedelta(seconds=5)
            assert await other.renew(work.deliveries) == frozenset()
            assert await owner.renew(work.deliveries)
            watch.offset = LEASE + timedelta(seconds=10)
            return await claim(other)

    assert mail.run(scenario()) == ()


def test_released_work_counts_no_try() -> None:
    house = mail.organisation()
    due_at = mail.now() + timedelta(minutes=5)

    async def scenario() -> None:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with holders() as (holder,):
            first, second = await claim(holder)
            await holder.release(first.deliveries)
            await holder.release(second.deliveries, due_at, "route_paused")
            (again,) = await claim(holder)
            assert again.message_id == first.message_id

    mail.run(scenario())
    assert mail.rows(
        "SELECT attempts, reason, due_at FROM relay_queueddelivery WHERE lease_owner IS NULL"
    ) == [(0, "route_paused", due_at)]


def test_claim_that_is_cut_off_while_it_is_written_goes_back() -> None:
    """Nobody has it in hand, and nobody died of it."""
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,), await mail.session("owner") as other:
            await other.execute("BEGIN")
            await other.execute("LOCK TABLE relay_queueddelivery IN EXCLUSIVE MODE")
            pending = asyncio.create_task(claim(holder))
            await becomes(BLOCKED, 1)
            pending.cancel()
            await asyncio.wait({pending})
            await other.execute("COMMIT")

    mail.run(scenario())
    assert mail.rows("SELECT fence, lease_owner FROM relay_queueddelivery") == [(1, None)]


def test_sent_work_cannot_be_released() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
            await holder.mark_dots(work.deliveries)
            await holder.release(work.deliveries)

    mail.run(scenario())
    assert mail.value("SELECT lease_owner IS NOT NULL FROM relay_queueddelivery") is True


def test_notice_is_stored_in_the_same_commit() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
            bounced = Settlement(
                delivery=work.deliveries[0],
                state="bounced",
                at=mail.now(),
                tried=tried(Verdict.BOUNCED, 550, "no"),
            )
            await holder.settle(work, (bounced,), mail.notice(house.id))
            (notice,) = await claim(holder)
            assert notice.sender == ""
            assert notice.deliveries[0].recipient.address == "post@due.example"

    mail.run(scenario())
    assert mail.rows("SELECT is_notification, sender FROM relay_message ORDER BY id") == [
        (False, "post@due.example"),
        (True, ""),
    ]


def test_notice_is_sealed_again_when_its_hour_key_is_closed() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with holders() as (holder,), await mail.session() as other:
            first, second = await claim(holder)
            await holder.settle(first, (delivered(first.deliveries[0]),), mail.notice(house.id))
            await other.execute("UPDATE relay_hourkey SET closed_at = now()")
            await holder.settle(second, (delivered(second.deliveries[0]),), mail.notice(house.id))

    mail.run(scenario())
    assert sorted(
        mail.rows(
            "SELECT k.closed_at IS NULL FROM relay_content c"
            " JOIN relay_hourkey k ON k.id = c.hour_key_id"
        )
    ) == [(False,), (True,)]
    assert mail.value("SELECT count(*) FROM relay_attempt") == 2


def test_two_shifts_settle_recipients_of_the_same_messages() -> None:
    """Content is counted down from both sides; no deadlock, nothing left over."""
    house = mail.organisation()
    # With such figures a planner begins at the log, which was too early while a shift waits.
    mail.execute("ANALYZE relay_queueddelivery")
    recipients = [f"r{number}@modtager.example" for number in range(6)]

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id, *recipients) for _ in range(30)))
        async with holders(2) as (left, right):
            claims = await asyncio.gather(*(claim(d, 7) for _ in range(20) for d in (left, right)))
            await asyncio.gather(
                *(
                    (left if number % 2 == 0 else right).settle(
                        work, tuple(map(delivered, work.deliveries))
                    )
                    for number, works in enumerate(claims)
                    for work in works
                )
            )

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == 0
    assert mail.value("SELECT count(*) FROM relay_content") == 0
    told = "SELECT content_destroyed_at IS NOT NULL FROM relay_message WHERE organisation_id = %s"
    assert Counter(mail.rows(told, house.id)) == {(True,): 30}
    assert mail.value("SELECT count(*) FROM relay_attempt") == 180


def test_settlement_outlives_a_lost_connection() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
            async with await mail.session() as other:
                await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = current_user AND pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                )
            assert await holder.settle(work, (delivered(work.deliveries[0]),))

    mail.run(scenario())
    assert mail.value("SELECT state FROM relay_delivery") == "delivered"


def test_settlement_that_cannot_be_written_harms_nobody() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with holders() as (holder,):
            first, second = await claim(holder)
            broken = Settlement(delivery=first.deliveries[0], state="waiting", at=mail.now())
            results = await asyncio.gather(
                holder.settle(first, (broken,)),
                holder.settle(second, (delivered(second.deliveries[0]),)),
                return_exceptions=True,
            )
            assert isinstance(results[0], Refused)
            assert results[1] == frozenset([second.deliveries[0].id])

    mail.run(scenario())


def test_hostile_reply_is_storable() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        await mail.keep(mail.message(house.id))
        async with holders() as (holder,):
            work = await one(holder)
            settlement = Settlement(
                delivery=work.deliveries[0],
                state="bounced",
                at=mail.now(),
                tried=tried(Verdict.BOUNCED, 550, "a\0b \ud800 Erik@modtager.example " + "x" * 900),
            )
            assert await holder.settle(work, (settlement,))

    mail.run(scenario())
    reply = mail.value("SELECT reply FROM relay_attempt")
    assert len(reply) == 500
    assert "modtager" not in reply


@pytest.mark.behaviour(23)
def test_mail_behind_the_unreadable_is_not_struck_when_a_commit_is_uncertain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = mail.organisation()
    monkeypatch.setattr("relay.queue.leases.RETRY_SECONDS", 0)
    commit, lost = Leases._commit, [psycopg.OperationalError()]

    async def uncertain(self: Leases, items: Any) -> list[Any]:
        written = await commit(self, items)
        if lost:
            raise lost.pop()
        return written

    async def scenario() -> None:
        await mail.keep(*(mail.message(house.id) for _ in range(4)))
        async with holders() as (holder,):
            (work,) = await claim(holder, 1)
            monkeypatch.setattr(Leases, "_commit", uncertain)
            items = PutOffNext(Ask(limit=1)), Begin(work.deliveries)
            refused, begun = await holder._write(items)
            assert isinstance(refused, Refused)
            assert begun == {lease.id for lease in work.deliveries}

    mail.run(scenario())
    assert mail.value("SELECT sum(strikes) FROM relay_queueddelivery") == 1
