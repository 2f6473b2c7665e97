# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages on their way, against scripted servers over real sockets, as the role `relay`."""

from __future__ import annotations

import asyncio
import secrets
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from accounts import keyfiles, vault
from accounts.keyfiles import directory_of
from accounts.models import Organisation
from relay import routing
from relay.models import Route, SendingDomain
from relay.outcomes import NoticeLimit
from relay.partitions import DAYS_AHEAD
from tests import build
from tests.relay import mail
from tests.relay.stage import WAITING, Stage, becomes, carry, free_port, route, until
from tests.testbed.certificates import Authority
from tests.testbed.smtp import Drop, FarEnd, Script

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_mail_with_the_null_sender_goes_by_its_authors_domain(house: Organisation) -> None:
    with build.as_owner():
        due = SendingDomain.objects.create(
            organisation=house, name="due.example", created_at=build.NOW
        )
    message = mail.message(house.id, sender="", author_domain="due.example")
    (received,) = carry(Script(), message, prepare=to_house(house, domain=due)).ledger
    assert (received.sender, received.recipients) == ("", ["Erik@modtager.example"])
    mail.execute("DELETE FROM relay_route")
    notified = carry(
        Script(rcpt={"Erik@modtager.example": "550 5.1.1 unknown"}),
        mail.message(house.id),
        prepare=to_house(house, domain=due),
        ready=WAITING,
    )
    assert [one.recipients for one in notified.ledger] == [["Post@due.example"]]


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


@pytest.fixture
def keyring(tmp_path: Path, settings: Settings) -> Path:
    """A keyring that no other test uses."""
    settings.KEYRING_URL = (tmp_path / "keyring").as_uri()
    return tmp_path / "keyring"


def lose(keyring: Path) -> None:
    keyring.rename(keyring.with_name("elsewhere"))


def bare(keyring: Path) -> None:
    lose(keyring)
    keyring.mkdir()


def damage(keyring: Path) -> None:
    (key,) = (file for file in keyring.iterdir() if file.name != keyfiles.MARK)
    key.write_bytes(b"")


@pytest.mark.parametrize("harm", [lose, bare, damage])
def test_mail_waits_while_its_key_cannot_be_read(
    house: Organisation, keyring: Path, harm: Callable[[Path], None]
) -> None:
    """Only a keyring that is there can tell that a key was destroyed."""

    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id)))
        harm(keyring)

    assert carry(Script(), prepare=prepare).ledger == []
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("unopened", 1)]
    assert mail.value("SELECT count(*) FROM relay_content") == 1
    assert mail.rows("SELECT kind FROM accounts_alert") == [("mail-unopened",)]


def test_damaged_file_among_the_installation_keys_ends_no_mail(
    house: Organisation, settings: Settings
) -> None:
    def prepare(port: int) -> None:
        route(house, port=port)
        mail.run(mail.keep(mail.message(house.id)))
        (directory_of(settings.VAULT_URL) / "00000099").write_bytes(b"")
        vault._installation_at.cache_clear()

    try:
        assert len(carry(Script(), prepare=prepare).ledger) == 1
    finally:
        (directory_of(settings.VAULT_URL) / "00000099").unlink()
        vault._installation_at.cache_clear()
    assert mail.rows("SELECT state FROM relay_delivery") == [("delivered",)]


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


def test_notices_beyond_the_limit_are_put_off_and_none_is_dropped(house: Organisation) -> None:
    port = free_port()
    route(house, port=port)

    async def scenario() -> list[str]:
        await mail.keep(mail.message(house.id), mail.message(house.id))
        async with FarEnd(Script(rcpt={"Erik@modtager.example": "550 no"}), port=port) as far_end:
            stage = Stage(far_end)
            shift = stage.shift()
            shift.courier.limit = NoticeLimit(1)
            working = asyncio.create_task(shift.run())
            await becomes("SELECT count(*) FROM relay_queueddelivery WHERE reason = 'untold'", 1)
            await until(lambda: far_end.ledger)
            stage.offset = timedelta(minutes=2)
            await becomes(WAITING, 0)
            stage.stopping = True
            await working
            return [one.sender for one in far_end.ledger]

    assert mail.run(scenario()) == ["", ""]
