# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a mail that comes in leaves in the log, by what its organisation and it itself ask for."""

from __future__ import annotations

from uuid import UUID

import pytest

from accounts.models import Organisation
from relay import logfields
from relay.models import LogChoice
from relay.queue import Store
from tests import build
from tests.relay import mail
from tests.relay.smtp.listening import Raw
from tests.relay.submitting import credential, domain, plain, serving

pytestmark = pytest.mark.django_db(transaction=True)

MAIL = (
    b"From: Post <post@firma.example>\r\nTo: Erik Holm <erik@modtager.example>\r\n"
    b"Bcc: hemmelig@modtager.example\r\nMessage-ID: <7@firma.example>\r\n"
    b"Subject: =?utf-8?Q?R=C3=B8d_gr=C3=B8d?=\r\n"
)


@pytest.fixture
def house() -> Organisation:
    made = mail.organisation()
    domain(made, "firma.example")
    credential(made)
    return made


def hand_in(header: bytes) -> bytes:
    """Give a mail to a server that stores it; returns the answer."""
    store = Store(mail.dsn(), mail.sealer(), mail.now)
    recipients = (b"Erik@modtager.example", b"hemmelig@modtager.example")
    with serving(store) as server, Raw(server.port) as raw:
        raw.sign_in(plain("anna"))
        raw.begin(*recipients, sender=b"post@firma.example")
        raw.send(header + b"\r\nGrus og guld.\r\n.\r\n")
        return raw.reply()


def choose(house: Organisation, profile: str) -> None:
    values = {"profile": profile, "changed_at": build.NOW}
    with build.as_owner():
        LogChoice.objects.create(organisation=house, **values)


def stored() -> list[object]:
    """Profile, subject, names in the envelope's order, header."""
    return [
        *mail.rows("SELECT profile, subject FROM relay_message")[0],
        [
            name
            for (name,) in mail.rows("SELECT display_name FROM relay_delivery ORDER BY position")
        ],
        [header for (header,) in mail.rows("SELECT header FROM relay_messageheader")],
    ]


LEAST = ["minimal", "", ["", ""], []]
SUBJECT = ["subject", "Rød grød", ["Erik Holm", ""], []]


@pytest.mark.behaviour(18)
@pytest.mark.parametrize(
    ("chosen", "asked", "logged"),
    [
        ("", b"", LEAST),
        ("", b"RELAY-Log: headers\r\n", LEAST),
        ("subject", b"", SUBJECT),
        ("subject", b"RELAY-Log: headers\r\n", SUBJECT),
        ("headers", b"RELAY-Log: subject\r\n", SUBJECT),
        ("headers", b"RELAY-Log: minimal\r\n", LEAST),
    ],
)
def test_log_holds_what_both_allow(
    house: Organisation, chosen: str, asked: bytes, logged: list[object]
) -> None:
    if chosen:
        choose(house, chosen)
    assert hand_in(asked + MAIL).startswith(b"250 ")
    assert stored() == logged


def test_whole_header_is_kept_without_hidden_recipients(house: Organisation) -> None:
    choose(house, "headers")
    assert hand_in(b"RELAY-Tag: news\r\n" + MAIL).startswith(b"250 ")
    header = MAIL.replace(b"Bcc: hemmelig@modtager.example\r\n", b"")
    assert stored() == ["headers", *SUBJECT[1:3], [header.decode().replace("\r\n", "\n")]]


@pytest.mark.behaviour(18)
@pytest.mark.parametrize("asked", [b"RELAY-Log: nothing\r\n", b"RELAY-Log: subject, minimal\r\n"])
def test_unclear_wish_refuses_the_mail(house: Organisation, asked: bytes) -> None:
    assert hand_in(asked + MAIL).startswith(b"554 5.6.0 A RELAY- field asks")
    assert mail.value("SELECT count(*) FROM relay_message") == 0


def test_message_id_is_found_again_and_stands_nowhere(house: Organisation) -> None:
    assert hand_in(MAIL).startswith(b"250 ")
    hashed = logfields.header_hash(house.id, "7@firma.example")
    assert bytes(mail.value("SELECT header_hash FROM relay_message")) == hashed
    assert mail.value("SELECT m::text LIKE '%%7@firma%%' FROM relay_message m") is False


def test_message_id_is_found_under_its_own_organisation_alone(house: Organisation) -> None:
    """Whoever has both logs cannot tell that they speak of one mail."""
    other = mail.organisation()
    assert logfields.header_hash(house.id, "<7@a>") == logfields.header_hash(house.id, "7@a")
    assert logfields.header_hash(house.id, "7@a") != logfields.header_hash(other.id, "7@a")


def test_message_id_that_was_made_here_is_found_too(house: Organisation) -> None:
    header = MAIL.replace(b"Message-ID: <7@firma.example>\r\n", b"")
    assert hand_in(header).startswith(b"250 ")
    ((identifier, hashed),) = mail.rows("SELECT id, header_hash FROM relay_message")
    assert isinstance(identifier, UUID)
    made = f"<{identifier}@relay.example>"
    assert bytes(hashed) == logfields.header_hash(house.id, made)
