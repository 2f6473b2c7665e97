# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts import alerts
from relay.queue import Accepted, Store, StoreUnavailable, statements, storing
from tests.relay import mail
from tests.relay.stage import BLOCKED, becomes

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def opened(**options: object) -> AsyncIterator[Store]:
    store = Store(mail.dsn(), mail.sealer(), mail.now, **options)  # type: ignore[arg-type] # of any kind
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def keep(*messages: Accepted) -> list[BaseException | None]:
    async with opened() as store:
        return await asyncio.gather(*map(store.store, messages), return_exceptions=True)


def test_message_is_stored_whole_in_one_commit() -> None:
    house = mail.organisation(queue_lifetime_hours=10)
    message = mail.message(house.id, "Erik@modtager.example", "ida@modtager.example")
    assert mail.run(keep(message)) == [None]
    assert mail.rows("SELECT id, sender, size, recipients FROM relay_message") == [
        (message.id, "post@due.example", len(mail.CONTENT), 2)
    ]
    assert mail.rows("SELECT position, recipient, state FROM relay_delivery ORDER BY 1") == [
        (0, "erik@modtager.example", "waiting"),
        (1, "ida@modtager.example", "waiting"),
    ]
    queued = mail.rows(
        "SELECT recipient, due_at, expires_at, reason, fence FROM relay_queueddelivery ORDER BY id"
    )
    expires_at = message.accepted_at + timedelta(hours=10)
    assert queued == [
        ("Erik@modtager.example", message.accepted_at, expires_at, "new", 0),
        ("ida@modtager.example", message.accepted_at, expires_at, "new", 0),
    ]
    assert mail.rows("SELECT sender, open_deliveries FROM relay_content") == [
        ("Post@due.example", 2)
    ]


def test_turn_is_named_by_the_a_label_of_the_sender() -> None:
    house = mail.organisation()
    message = mail.message(house.id, sender="anna@blåbær.example")
    assert mail.run(keep(message)) == [None]
    assert mail.rows("SELECT domain FROM relay_queueddelivery") == [("xn--blbr-roah.example",)]


def test_content_is_sealed() -> None:
    mail.run(keep(mail.message(mail.organisation().id)))
    ciphertext, wrapped = mail.rows("SELECT ciphertext, wrapped_key FROM relay_content")[0]
    assert b"guld" not in bytes(ciphertext)
    assert len(bytes(wrapped)) > 32


def test_messages_that_arrive_during_a_commit_form_the_next_batch() -> None:
    house = mail.organisation()
    commits: list[object] = []
    messages = [mail.message(house.id) for _ in range(50)]

    async def scenario() -> None:
        async with opened(stored=commits.append) as store:
            await asyncio.gather(*map(store.store, messages))

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_message") == 50
    assert len(commits) <= 3


def test_messages_of_two_organisations_share_a_commit() -> None:
    one, two = mail.organisation(), mail.organisation("Andet Hus A/S")
    assert mail.run(keep(mail.message(one.id), mail.message(two.id))) == [None, None]
    assert mail.value("SELECT count(DISTINCT organisation_id) FROM relay_content") == 2


def test_large_message_is_stored_byte_for_byte() -> None:
    house = mail.organisation()
    content = bytes(range(256)) * 12_000
    message = mail.message(house.id, content=content)
    assert mail.run(keep(message)) == [None]
    assert mail.value("SELECT octet_length(ciphertext) FROM relay_content") > len(content)


def test_large_message_holds_up_no_small_one() -> None:
    house = mail.organisation()
    large = mail.message(house.id, content=bytes(20 * 1024 * 1024))
    small = mail.message(house.id)

    async def scenario() -> None:
        async with opened() as store:
            # Both connections are open from here on.
            await store.store(mail.message(house.id, content=bytes(2 * 1024 * 1024)))
            await store.store(mail.message(house.id))
            storing = asyncio.create_task(store.store(large))
            await asyncio.sleep(0)
            await store.store(small)
            assert not storing.done()
            await storing

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_message") == 4


def test_organisation_without_key_stores_nothing_and_harms_nobody() -> None:
    house = mail.organisation()
    stranger = mail.message(uuid4())
    refused, kept = mail.run(keep(stranger, mail.message(house.id)))
    assert isinstance(refused, StoreUnavailable)
    assert kept is None
    assert mail.value("SELECT count(*) FROM relay_message") == 1


def test_answer_is_about_the_commit_whatever_the_other_group_learns_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, other, sealer = mail.organisation(), mail.organisation("Andet Hus A/S"), mail.sealer()

    async def keys(*arguments: Any) -> list[Any]:
        return [row for row in await statements.organisation_keys(*arguments) if row[0] == house.id]

    async def stores(connection: Any, *arguments: Any) -> bool:
        stored = await storing.store(connection, *arguments)
        both = await statements.organisation_keys(connection, [house.id, other.id])
        sealer.learn([house.id, other.id], [row for row in both if row[0] == other.id], mail.now())
        return stored

    monkeypatch.setattr(mail, "sealer", lambda: sealer)
    monkeypatch.setattr("relay.queue.store.organisation_keys", keys)
    monkeypatch.setattr("relay.queue.store.store", stores)
    kept, refused = mail.run(keep(mail.message(house.id), mail.message(other.id)))
    assert sealer.knows(other.id)
    assert not sealer.knows(house.id)
    assert kept is None
    assert isinstance(refused, StoreUnavailable)
    assert mail.rows("SELECT organisation_id FROM relay_message") == [(house.id,)]


def test_key_is_known_while_it_is_read_again() -> None:
    """A thread that seals large content looks at any time."""
    house, sealer = mail.organisation(), mail.sealer()
    found = mail.rows("SELECT organisation_id, sealed, 72 FROM accounts_organisationkey")
    sealer.learn([house.id], found, mail.now())

    def rows() -> Iterator[Any]:
        assert sealer.knows(house.id)
        yield from found

    sealer.learn([house.id], rows(), mail.now())
    assert sealer.knows(house.id)
    sealer.learn([house.id], [], mail.now())
    assert not sealer.knows(house.id)


def test_message_that_cannot_be_stored_harms_nobody() -> None:
    house = mail.organisation()
    poison = mail.message(house.id, "nul\0@modtager.example")
    refused, kept = mail.run(keep(poison, mail.message(house.id)))
    assert isinstance(refused, StoreUnavailable)
    assert kept is None


def test_missing_partition_is_refused_and_told(caplog: pytest.LogCaptureFixture) -> None:
    house = mail.organisation()
    old = timedelta(days=90)

    async def scenario() -> list[BaseException | None]:
        async with opened() as store:
            return [
                (await asyncio.gather(store.store(message), return_exceptions=True))[0]
                for message in (mail.message(house.id, ago=old), mail.message(house.id, ago=old))
            ]

    with caplog.at_level(logging.CRITICAL):
        refused = mail.run(scenario())
    assert all(isinstance(one, StoreUnavailable) for one in refused)
    assert mail.rows("SELECT kind, count FROM accounts_alert") == [("log-day-missing", 1)]
    assert "no partition" in caplog.text
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == 0


def test_another_failed_check_is_not_told_as_a_missing_partition() -> None:
    house = mail.organisation()
    table = "ALTER TABLE relay_queueddelivery"
    mail.execute(f"{table} ADD CONSTRAINT fault CHECK (attempts > 0) NOT VALID")
    try:
        with pytest.raises(StoreUnavailable):
            mail.run(mail.keep(mail.message(house.id)))
    finally:
        mail.execute(f"{table} DROP CONSTRAINT fault")
    assert mail.rows("SELECT kind FROM accounts_alert") == []


def test_closed_hour_key_is_replaced_before_anything_is_stored() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        async with opened() as store:
            await store.store(mail.message(house.id))
            async with await mail.session() as other:
                await other.execute("UPDATE relay_hourkey SET closed_at = now()")
            await store.store(mail.message(house.id))

    mail.run(scenario())
    keys = mail.rows(
        "SELECT k.closed_at IS NULL FROM relay_content c JOIN relay_hourkey k"
        " ON k.id = c.hour_key_id ORDER BY c.accepted_at, c.message_id"
    )
    assert sorted(keys) == [(False,), (True,)]


def test_store_and_the_destroyer_of_keys_wait_for_each_other() -> None:
    """A destroyer that holds the row first closes it; the message is sealed under another key."""
    house = mail.organisation()

    async def scenario() -> None:
        async with opened() as store, await mail.session() as destroyer:
            await store.store(mail.message(house.id))
            await destroyer.execute("DELETE FROM relay_content")
            await destroyer.execute("BEGIN")
            await destroyer.execute("SELECT FROM relay_hourkey FOR UPDATE")
            pending = asyncio.create_task(store.store(mail.message(house.id)))
            await becomes(BLOCKED, 1)
            assert not pending.done()
            await destroyer.execute("UPDATE relay_hourkey SET closed_at = now()")
            await destroyer.execute("COMMIT")
            await pending

    mail.run(scenario())
    assert mail.rows(
        "SELECT k.closed_at FROM relay_content c JOIN relay_hourkey k ON k.id = c.hour_key_id"
    ) == [(None,)]


def test_unreachable_database_is_refused_and_forgiven() -> None:
    house = mail.organisation()

    async def scenario() -> None:
        async with opened() as store:
            await store.store(mail.message(house.id))
            async with await mail.session("relay") as other:
                await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = current_user AND pid <> pg_backend_pid()"
                    " AND datname = current_database()"
                )
            with pytest.raises(StoreUnavailable):
                await store.store(mail.message(house.id))
            await store.store(mail.message(house.id))

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_message") == 2


@pytest.mark.parametrize("may_make", [True, False])
def test_lost_keyring_takes_no_mail_and_tells_the_operator(
    tmp_path: Path, settings: Settings, may_make: bool
) -> None:
    """A key on a bare mount point would be hidden as soon as the keyring is mounted again."""
    house = mail.organisation()
    mail.run(keep(mail.message(house.id)))
    settings.KEYRING_URL = (tmp_path / "keyring").as_uri()
    settings.VAULT_MAKE_KEYS = may_make
    (refusal,) = mail.run(keep(mail.message(house.id)))
    assert isinstance(refusal, StoreUnavailable)
    assert not (tmp_path / "keyring").exists()
    assert mail.rows("SELECT kind FROM accounts_alert") == [("keyring-away",)]


def without_room(act: Callable[..., Awaitable[Any]], times: int) -> Callable[..., Awaitable[Any]]:
    """Do as `act` does, but fail the first times."""
    faults = [psycopg.errors.DiskFull("no room")] * times

    async def acting(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return await act(*arguments)

    return acting


def test_full_disk_of_the_database_is_told_when_there_is_room_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = mail.organisation()
    monkeypatch.setattr("relay.queue.store.store", without_room(storing.store, 1))

    async def scenario() -> None:
        async with opened() as store:
            with pytest.raises(StoreUnavailable):
                await store.store(mail.message(house.id))
            await store.store(mail.message(house.id))
            await store.store(mail.message(house.id))

    mail.run(scenario())
    assert mail.rows("SELECT kind, count FROM accounts_alert") == [("database-full", 1)]


def test_full_disk_is_told_later_where_there_was_no_room_for_the_alert(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = mail.organisation()
    raising = without_room(alerts.raise_alert_on, 2)
    monkeypatch.setattr("relay.queue.store.store", without_room(storing.store, 1))
    monkeypatch.setattr("relay.queue.store.alerts.raise_alert_on", raising)

    async def scenario() -> None:
        async with opened() as store:
            with pytest.raises(StoreUnavailable):
                await store.store(mail.message(house.id))
            for _ in range(4):
                await store.store(mail.message(house.id))

    mail.run(scenario())
    assert mail.rows("SELECT kind, count FROM accounts_alert") == [("database-full", 1)]


def test_first_mail_of_a_development_stack_makes_the_keyring(
    tmp_path: Path, settings: Settings
) -> None:
    settings.KEYRING_URL = (tmp_path / "keyring").as_uri()
    settings.VAULT_MAKE_KEYS = True
    assert mail.run(keep(mail.message(mail.organisation().id))) == [None]


@pytest.mark.as_role("relay")
def test_command_marks_a_keyring_but_not_behind_waiting_mail(
    tmp_path: Path, settings: Settings
) -> None:
    house = mail.organisation()
    settings.DATABASE_ROLE = "relay"
    settings.VAULT_MAKE_KEYS = False
    settings.KEYRING_URL = (tmp_path / "first").as_uri()
    call_command("make_keyring")
    assert mail.run(keep(mail.message(house.id))) == [None]
    call_command("make_keyring")
    settings.KEYRING_URL = (tmp_path / "second").as_uri()
    with pytest.raises(CommandError, match="mount the keyring"):
        call_command("make_keyring")
    assert not (tmp_path / "second").exists()
    call_command("make_keyring", "--lost")
    assert mail.run(keep(mail.message(house.id))) == [None]


def test_nothing_listening_is_refused() -> None:
    async def scenario() -> None:
        store = Store("host=127.0.0.1 port=1 dbname=x", mail.sealer(), mail.now)
        await store.start()
        with pytest.raises(StoreUnavailable):
            await store.store(mail.message(uuid4()))
        await store.stop()

    mail.run(scenario())


def test_stopped_store_refuses() -> None:
    async def scenario() -> None:
        async with opened() as store:
            pass
        with pytest.raises(StoreUnavailable):
            await store.store(mail.message(uuid4()))

    mail.run(scenario())


def test_no_address_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    house = mail.organisation()
    with caplog.at_level(logging.DEBUG):
        results = mail.run(
            keep(
                mail.message(house.id, "nul\0@modtager.example"),
                mail.message(house.id, "erik@modtager.example", ago=timedelta(days=90)),
                mail.message(UUID(int=0), "ida@modtager.example"),
            )
        )
    assert "modtager" not in caplog.text + "".join(map(repr, results))


@pytest.mark.behaviour(5)
def test_acknowledged_only_after_the_commit() -> None:
    """While the commit cannot finish, nobody has been told that the message is safe."""
    house = mail.organisation()

    async def scenario() -> datetime:
        async with opened() as store, await mail.session() as blocker:
            await store.store(mail.message(house.id))
            await blocker.execute("BEGIN")
            await blocker.execute("LOCK TABLE relay_queueddelivery IN ACCESS EXCLUSIVE MODE")
            pending = asyncio.create_task(store.store(mail.message(house.id)))
            await becomes(BLOCKED, 1)
            assert not pending.done()
            await blocker.execute("COMMIT")
            await pending
            return datetime.now(UTC)

    mail.run(scenario())
    assert mail.value("SELECT count(*) FROM relay_message") == 2
