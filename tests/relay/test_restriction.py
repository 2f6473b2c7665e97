# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses that are kept and not used: refused at the edge, held in the queue, given free."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from accounts.models import Organisation
from relay.correspondence import spelt
from relay.explanations import EXPLANATIONS
from relay.models import Restriction
from relay.smtp import answers, dsn
from relay.suppressing import fingerprint
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Raw, Running
from tests.relay.stage import UNTRIED, carry, to_house
from tests.relay.submitting import Journal, credential, domain, plain, serving
from tests.relay.test_submission import MESSAGE
from tests.testbed.smtp import Script

pytestmark = pytest.mark.django_db(transaction=True)

ERIK, IDA = "erik@modtager.example", "ida@modtager.example"
HELD = "SELECT recipient FROM relay_queueddelivery WHERE reason = 'restricted' ORDER BY 1"


def restrict(house: Organisation, address: str, **fields: object) -> Restriction:
    values = {"ground": Restriction.Ground.ACCURACY, "restricted_at": mail.now()} | fields
    with build.as_owner():
        return Restriction.objects.create(
            organisation=house,
            address_hash=fingerprint(house.id, address),
            address=address,
            spellings=spelt(address),
            **values,
        )


@pytest.fixture
def house() -> Organisation:
    made = mail.organisation()
    domain(made, "firma.example")
    credential(made)
    return made


@pytest.fixture
def server() -> Iterator[Running]:
    with serving(Journal()) as running:
        yield running


def test_no_mail_is_taken_to_a_restricted_address_or_from_it(
    server: Running, house: Organisation
) -> None:
    restrict(house, ERIK)
    restrict(house, "chef@firma.example")
    restrict(mail.organisation("Andet Hus A/S"), IDA)
    lifted = {"lifted_at": mail.now(), "told_on": mail.now().date()}
    restrict(house, "kaj@modtager.example", **lifted)
    with Raw(server.port) as raw:
        client = raw.sign_in(plain("anna"))
        client.send(b"MAIL FROM:<Chef@FIRMA.example>\r\n")
        assert client.reply().startswith(b"550 5.7.1 The use of this address is restricted")
        client.send(b"MAIL FROM:<a@firma.example>\r\n")
        assert client.reply()[:3] == b"250"
        found = {}
        for address in ("Erik@Modtager.EXAMPLE", IDA, "kaj@modtager.example"):
            client.send(f"RCPT TO:<{address}>\r\n".encode())
            found[address] = client.reply()[:3]
    assert found == {"Erik@Modtager.EXAMPLE": b"550", IDA: b"250", "kaj@modtager.example": b"250"}
    assert answers.RESTRICTED.anchor in EXPLANATIONS


def test_author_that_is_restricted_is_refused_under_another_return_path(
    server: Running, house: Organisation
) -> None:
    restrict(house, "chef@firma.example")
    with Raw(server.port) as raw:
        client = raw.sign_in(plain("anna"))
        client.begin(IDA.encode(), sender=b"a@firma.example")
        client.send(b"From: chef@firma.example\r\n\r\nhej\r\n.\r\n")
        assert client.reply()[:3] == b"550"


def test_what_was_accepted_before_is_held_and_the_others_go(house: Organisation) -> None:
    restrict(house, ERIK)
    far_end = carry(
        Script(),
        mail.message(house.id, "Erik@Modtager.example", IDA),
        mail.message(house.id, ERIK),
        prepare=to_house(house),
        ready=UNTRIED,
    )
    assert [message.recipients for message in far_end.ledger] == [[IDA]]
    assert mail.rows(HELD) == [("Erik@Modtager.example",), (ERIK,)]
    assert mail.rows("SELECT attempts FROM relay_queueddelivery WHERE due_at <> expires_at") == []


def test_mail_of_a_restricted_sender_is_held(house: Organisation) -> None:
    restrict(house, "post@due.example")
    other = mail.organisation("Andet Hus A/S")

    def routes(port: int) -> None:
        for owner in (house, other):
            to_house(owner)(port)

    far_end = carry(
        Script(),
        mail.message(house.id, ERIK),
        mail.message(other.id, IDA),
        prepare=routes,
        ready=UNTRIED,
    )
    assert [message.recipients for message in far_end.ledger] == [[IDA]]
    assert mail.rows(HELD) == [(ERIK,)]


def test_notice_of_the_service_to_a_restricted_sender_does_not_leave(house: Organisation) -> None:
    restrict(house, "post@due.example")
    far_end = carry(Script(), mail.notice(house.id), prepare=to_house(house), ready=UNTRIED)
    assert far_end.ledger == []
    assert mail.rows(HELD) == [("post@due.example",)]


def test_held_mail_ends_with_its_lifetime_and_its_sender_is_told(house: Organisation) -> None:
    restrict(house, ERIK)
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    carry(
        Script(),
        mail.message(house.id, ERIK, ago=timedelta(hours=20)),
        prepare=to_house(house),
        ready="SELECT count(*) FROM relay_queueddelivery WHERE recipient = 'erik@modtager.example'",
    )
    states = "SELECT state FROM relay_delivery WHERE recipient = %s"
    assert mail.rows(states, ERIK) == [("expired",)]
    assert mail.value("SELECT count(*) FROM relay_message WHERE is_notification") == 1


def test_notices_do_not_say_to_whom_restricted_mail_was(house: Organisation) -> None:
    to_both = b"To: erik@modtager.example, ida@modtager.example\r\nSubject: Faktura\r\n\r\nhej\r\n"
    restrict(house, ERIK)
    mail.execute("UPDATE accounts_organisation SET queue_lifetime_hours = 19")
    far_end = carry(
        Script(rcpt={IDA: "550 5.1.1 unknown"}),
        mail.message(house.id, ERIK, ago=timedelta(hours=20)),
        mail.message(house.id, ERIK, IDA, content=to_both),
        prepare=to_house(house),
        ready="SELECT count(*) - 1 FROM relay_queueddelivery",
    )
    ended, refused = sorted(far_end.ledger, key=lambda one: b"5.1.1" in one.content)
    for notice in (ended, refused):
        assert notice.recipients == ["Post@due.example"]
        assert b"erik" not in notice.content.lower()
        assert b"Faktura" not in notice.content
    assert dsn.UNNAMED.address.encode() in ended.content
    assert IDA.encode() in refused.content


def test_mail_is_taken_again_once_it_is_lifted(server: Running, house: Organisation) -> None:
    row = restrict(house, ERIK)
    with build.as_owner():
        row.lifted_at, row.told_on = mail.now(), mail.now().date()
        row.save()
    with Raw(server.port) as raw:
        client = raw.sign_in(plain("anna"))
        client.begin(ERIK.encode(), sender=b"a@firma.example")
        client.send(MESSAGE + b".\r\n")
        assert client.reply()[:3] == b"250"
