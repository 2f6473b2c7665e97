# SPDX-License-Identifier: AGPL-3.0-or-later
"""What senders are told of their mail, and what waits until they can be."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

from accounts import keyfiles
from accounts.models import Organisation
from config.stack.state import free_port
from relay.limits import SharedCounters
from relay.notices import NoticeLimit
from relay.partitions import DAYS_AHEAD
from tests.relay import mail
from tests.relay.stage import (
    WAITING,
    Stage,
    becomes,
    carry,
    route,
    to_house,
    until,
)
from tests.testbed.smtp import FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.behaviour(41)
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
    message = mail.message(house.id, ago=timedelta(hours=4, seconds=1))
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


REFUSED = Script(rcpt="550 5.1.1 unknown")
OWED = "SELECT count(*) FROM relay_queueddelivery WHERE reason <> 'untold' OR due_at <= now()"


def told_after_all() -> FarEnd:
    """Have what waits tried again; return the far end that now takes everything."""
    mail.execute("UPDATE relay_queueddelivery SET due_at = now() - interval '1 second'")
    return carry(
        Script(rcpt={"Erik@modtager.example": "550 5.1.1 unknown"}),
        prepare=lambda given: mail.execute("UPDATE relay_route SET port = %s", given),
        ready=WAITING,
    )


def test_delivery_waits_for_its_notice_while_no_key_can_be_written(
    house: Organisation, keyring: Path
) -> None:
    """Neither does that stop the other mail, nor the shift at its end."""

    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id), mail.message(house.id, "ida@modtager.example")))
        (keyring / keyfiles.MARK).unlink()

    script = Script(rcpt={"Erik@modtager.example": "550 5.1.1 unknown"})
    assert len(carry(script, prepare=prepare, ready=OWED).ledger) == 1
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("untold", 1)]
    assert mail.rows("SELECT kind FROM accounts_alert") == [("notice-unstored",)]
    keyfiles.make_keyring(keyring)
    (notice,) = told_after_all().ledger
    assert b"5.1.1" in notice.content
    assert mail.value("SELECT count(*) FROM relay_delivery WHERE state = 'bounced'") == 1


def test_full_disk_of_the_keyring_is_no_database_that_is_away(
    house: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id)))
        # ENAMETOOLONG is the fault that root gets as well.
        monkeypatch.setattr(secrets, "token_hex", lambda octets: "0" * 300)

    carry(REFUSED, prepare=prepare, ready=OWED)
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("untold", 1)]


def test_delivery_waits_for_its_notice_on_a_day_without_partition(house: Organisation) -> None:
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 120")
    missing = timedelta(days=DAYS_AHEAD + 1, hours=1)
    for table in ("message", "delivery", "attempt"):  # a later clock may have made that day
        mail.execute(f"DROP TABLE IF EXISTS relay_{table}_{mail.now() + missing:%Y%m%d}")
    carry(REFUSED, mail.message(house.id), prepare=to_house(house), ready=OWED, offset=missing)
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("untold", 1)]
    assert mail.rows("SELECT state FROM relay_delivery") == [("waiting",)]
    assert mail.value("SELECT count(*) FROM relay_content") == 1
    assert [one.recipients for one in told_after_all().ledger] == [["Post@due.example"]]


def test_expired_delivery_waits_for_its_notice_while_the_organisations_key_does_not_open(
    house: Organisation,
) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
        mail.run(mail.keep(mail.message(house.id, ago=timedelta(hours=19))))
        mail.execute("UPDATE accounts_organisationkey SET sealed = decode('ff', 'hex') || sealed")

    carry(Script(), prepare=prepare, ready=OWED)
    mail.execute("UPDATE accounts_organisationkey SET sealed = substring(sealed FROM 2)")
    mail.execute("UPDATE relay_queueddelivery SET expires_at = now() - interval '1 hour'")
    (notice,) = told_after_all().ledger
    assert b"Status: 4.4.7" in notice.content
    assert mail.value("SELECT count(*) FROM relay_delivery WHERE state = 'expired'") == 1


def test_untold_delivery_ends_before_its_content_would_be_too_old(house: Organisation) -> None:
    message = mail.message(house.id)
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 120")
    carry(Script(), message, prepare=to_house(house), ready=WAITING, offset=timedelta(hours=120.9))
    assert mail.rows("SELECT state FROM relay_delivery") == [("expired",)]
    assert mail.rows("SELECT kind FROM accounts_alert") == [("notice-unstored",)]


@pytest.mark.behaviour(41)
def test_notices_beyond_the_limit_are_put_off_and_none_is_dropped(house: Organisation) -> None:
    port = free_port()
    route(house, port=port)

    async def scenario() -> list[str]:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with FarEnd(Script(rcpt={"Erik@modtager.example": "550 no"}), port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()
            # Its minute is one of the test's own, and no end of a minute comes in between.
            began = stage.now()
            shift.courier.limit = NoticeLimit(
                SharedCounters(settings.REDIS_URL), lambda: began + stage.offset, most=1
            )
            working = asyncio.create_task(shift.run())
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE reason = 'untold'", 1)
            await until(lambda: far_end.ledger)
            stage.offset = timedelta(minutes=2)
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return [one.sender for one in far_end.ledger]

    assert mail.run(scenario()) == ["", ""]
