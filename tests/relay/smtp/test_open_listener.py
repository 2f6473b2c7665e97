# SPDX-License-Identifier: AGPL-3.0-or-later
"""A listener for everybody: nobody signs in, and the beginning of a message is kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay.smtp.addresses import Address
from relay.smtp.answers import Answer
from relay.smtp.listener import Limits
from relay.smtp.policy import Client
from tests.relay.smtp.listening import Certificates, Ledger, Raw, Running, Tenant, running

LIMITS = Limits(size=4_000_000, kept=65_536, memory=524_288, recipients=1, in_vain=500)


class Open(Ledger):
    """Takes mail from whoever comes."""

    async def recognise(self, client: Client, sender: Address | None) -> Tenant:
        return Tenant(client.address)

    async def mail(self, client: Client, sender: Address | None) -> Answer | None:
        return None


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Running]:
    with running(tls=certificates.server, limits=LIMITS, ledger=Open(), is_open=True) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[Raw]:
    with Raw(server.port) as client:
        assert client.reply().startswith(b"220 ")
        assert client.code(b"EHLO mx.modtager.example") == 250
        yield client


def test_message_is_taken_from_a_stranger_in_clear(server: Running, client: Raw) -> None:
    client.begin(b"b1@bounce.kunde.example", sender=b"")
    # No From, a bare LF and a field without a colon: what only is read here may look as it likes.
    assert client.code(b"Subject failure\nhej\r\n\r\n.") == 250
    (taken,) = server.ledger.accepted
    assert taken.content == b"Subject failure\nhej\r\n\r\n"
    assert taken.envelope.sender == ""


def test_nobody_can_sign_in_with_or_without_tls(client: Raw, certificates: Certificates) -> None:
    assert b"AUTH" not in client.say(b"EHLO mx.modtager.example")
    assert client.code(b"AUTH PLAIN AGFubmEAeA==") == 502
    assert client.code(b"STARTTLS") == 220
    client.secure(certificates.client)
    assert b"AUTH" not in client.say(b"EHLO mx.modtager.example")
    assert client.code(b"AUTH PLAIN AGFubmEAeA==") == 502
    assert client.code(b"MAIL FROM:<>") == 250


def test_one_recipient_a_message(client: Raw) -> None:
    assert client.code(b"MAIL FROM:<>") == 250
    assert client.code(b"RCPT TO:<b1@bounce.kunde.example>") == 250
    assert client.code(b"RCPT TO:<b2@bounce.kunde.example>") == 452


@pytest.mark.parametrize("spelling", [b"<Postmaster>", b"<postmaster@relay.example>"])
def test_postmaster_needs_no_domain(server: Running, client: Raw, spelling: bytes) -> None:
    assert client.code(b"MAIL FROM:<erik@modtager.example>") == 250
    assert client.code(b"RCPT TO:" + spelling) == 250
    assert client.code(b"DATA") == 354
    assert client.code(b"hej\r\n.") == 250
    (taken,) = server.ledger.accepted
    assert taken.envelope.recipients[0].address == "postmaster@relay.example"


def test_beginning_is_kept_of_a_message_that_is_larger_than_memory(
    server: Running, client: Raw
) -> None:
    lines = b"".join(b"%09d\r\n" % number for number in range(200_000))
    client.begin(b"b1@bounce.kunde.example", sender=b"")
    client.send(lines)
    assert client.code(b".") == 250
    (taken,) = server.ledger.accepted
    assert taken.content == lines[: LIMITS.kept]
    assert server.listener.held == 0


def test_declared_size_counts_as_far_as_it_is_kept(client: Raw) -> None:
    assert client.code(b"MAIL FROM:<> SIZE=%d" % LIMITS.size) == 250
    assert client.code(b"RSET") == 250
    assert client.code(b"MAIL FROM:<> SIZE=%d" % (LIMITS.size + 1)) == 552


def test_message_beyond_the_limit_is_refused_as_a_whole(server: Running, client: Raw) -> None:
    client.begin(b"b1@bounce.kunde.example", sender=b"")
    client.send(b"0123456789abcd\r\n" * (LIMITS.size // 16 + 1))
    assert client.code(b".") == 552
    assert server.ledger.accepted == []


def test_stranger_makes_room_for_the_next_one(certificates: Certificates) -> None:
    limits = replace(LIMITS, connections=4)  # a quarter of them is for whoever signs in
    with running(limits=limits, ledger=Open(), is_open=True) as server:
        clients = [Raw(server.port) for _ in range(3)]
        for client in clients:
            assert client.reply().startswith(b"220 ")
            assert client.code(b"EHLO mx.modtager.example") == 250
            assert client.code(b"MAIL FROM:<>") == 250
        with Raw(server.port) as newest:
            assert newest.reply().startswith(b"220 ")
            assert clients[0].reply().startswith(b"421 ")
        for client in clients:
            client.socket.shutdown(socket.SHUT_RDWR)
            client.socket.close()


def test_listener_with_sign_in_takes_nothing_of_it() -> None:
    with running() as server, Raw(server.port) as client:
        assert client.reply().startswith(b"220 ")
        assert client.code(b"EHLO mx.modtager.example") == 250
        assert client.code(b"MAIL FROM:<anna@firma.example>") == 530
