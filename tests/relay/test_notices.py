# SPDX-License-Identifier: AGPL-3.0-or-later
"""Notifications from end to end: what the next hop cannot take, and receipts (RFC 3461)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accounts.models import Organisation
from relay.queue import Accepted
from relay.smtp.envelope import Recipient
from tests.relay import mail
from tests.relay.stage import WAITING, carry, to_house
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

STATES = "SELECT state FROM relay_delivery ORDER BY message_id, position"
EIGHT_BIT = "Subject: hej\r\n\r\nblåbær\r\n".encode()


@pytest.mark.behaviour(19)
@pytest.mark.parametrize(
    ("features", "recipient", "content", "status"),
    [
        (("PIPELINING", "SMTPUTF8"), "erik@modtager.example", EIGHT_BIT, b"Status: 5.6.3"),
        (("PIPELINING", "8BITMIME"), "søren@modtager.example", mail.CONTENT, b"Status: 5.6.7"),
    ],
)
def test_what_the_next_hop_cannot_take_is_told(
    house: Organisation, features: tuple[str, ...], recipient: str, content: bytes, status: bytes
) -> None:
    """Nothing is converted: that would break signatures."""
    message = mail.message(house.id, recipient, content=content)
    (notice,) = carry(
        Script(features=features), message, prepare=to_house(house), ready=WAITING
    ).ledger
    assert (notice.sender, notice.recipients) == ("", ["Post@due.example"])
    assert status in notice.content
    assert notice.content.isascii()
    assert mail.rows(STATES) == [("bounced",), ("delivered",)]
    assert mail.value("SELECT count(*) FROM relay_attempt WHERE verdict = 'bounced'") == 1


def asking(house: Organisation, *recipients: Recipient) -> Accepted:
    """A message whose sender wants receipts."""
    message = mail.message(house.id)
    envelope = replace(message.envelope, recipients=recipients, ret="FULL", envid="QQ+2B1")
    return replace(message, envelope=envelope)


ERIK = Recipient("erik@modtager.example", "SUCCESS,FAILURE", "rfc822;Erik+2Bold@x.example")
IDA = Recipient("ida@modtager.example", "FAILURE")
NO = Recipient("nej@modtager.example", "SUCCESS,FAILURE")


@pytest.mark.behaviour(10)
def test_receipt_is_given_where_the_next_hop_gives_none(house: Organisation) -> None:
    script = Script(features=("PIPELINING",), rcpt={NO.address: "550 5.1.1 unknown"})
    message = asking(house, ERIK, IDA, NO)
    _, notice = carry(script, message, prepare=to_house(house), ready=WAITING).ledger
    assert notice.recipients == ["Post@due.example"]
    groups = notice.content.partition(b"message/delivery-status")[2].split(b"\r\n\r\n")[1:4]
    assert b"Original-Envelope-Id: QQ+1" in groups[0]
    assert b"Final-Recipient: rfc822; nej@" in groups[1]
    assert b"Action: failed" in groups[1]
    assert b"Original-Recipient: rfc822; Erik+old@x.example" in groups[2]
    assert b"Action: relayed" in groups[2]
    assert b"Status: 2.0.0" in groups[2]
    assert b"ida@" not in notice.content
    # RET=FULL brings the headers alone.
    assert b"Subject: hej" in notice.content
    assert b"guld" not in notice.content


@pytest.mark.behaviour(10)
def test_wish_for_a_receipt_is_passed_on_to_a_hop_that_gives_one(house: Organisation) -> None:
    message = asking(house, ERIK, IDA)
    far_end = carry(Script(), message, prepare=to_house(house), ready=WAITING)
    assert len(far_end.ledger) == 1
    said = [line for line in far_end.commands if line.startswith(("MAIL", "RCPT"))]
    assert said[0].endswith(" RET=FULL ENVID=QQ+2B1")
    assert said[1].endswith(" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Erik+2Bold@x.example")
    assert said[2].endswith(" NOTIFY=FAILURE")
    assert mail.rows(STATES) == [("delivered",)] * 2
