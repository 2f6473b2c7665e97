# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages on their way, against scripted servers over real sockets, as the role `relay`."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta

import pytest

from accounts.models import Organisation
from relay.models import Route, SendingDomain
from tests import build
from tests.relay import mail
from tests.relay.stage import (
    WAITING,
    carry,
    signing_in,
    to_house,
)
from tests.testbed.certificates import Authority
from tests.testbed.smtp import Drop, Script

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.behaviour(32)
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


@pytest.mark.behaviour(31)
def test_server_that_wants_tls_first_does_not_pause_the_route(house: Organisation) -> None:
    script = Script(mail="530 5.7.0 Must issue a STARTTLS command first")
    far_end = carry(script, mail.message(house.id), prepare=to_house(house))
    assert far_end.ledger == []
    assert mail.rows("SELECT paused_at, pause_reason FROM relay_route") == [(None, "")]
    assert mail.value("SELECT reason FROM relay_queueddelivery") == "tls"


@pytest.mark.behaviour(31)
def test_operator_is_told_where_this_host_is_refused(house: Organisation) -> None:
    script = Script(rcpt="550 5.7.1 Client host [192.0.2.7] blocked using bl.example")
    carry(script, mail.message(house.id), mail.message(house.id), prepare=to_house(house))
    assert mail.value("SELECT count(*) FROM relay_queueddelivery") == 2
    route_id = mail.value("SELECT id::text FROM relay_route")
    assert mail.rows("SELECT kind, subject FROM accounts_alert") == [
        ("mail-refused-as-host", route_id)
    ]


@pytest.mark.behaviour(31)
def test_server_that_takes_no_mail_at_all_ends_none(house: Organisation) -> None:
    script = Script(greeting="521 5.3.2 takes no mail")
    carry(script, mail.message(house.id), prepare=to_house(house))
    assert mail.rows("SELECT reason, attempts FROM relay_queueddelivery") == [("deferred", 1)]
    assert mail.value("SELECT failures FROM relay_route") == 1


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
