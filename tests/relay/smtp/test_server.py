# SPDX-License-Identifier: AGPL-3.0-or-later
"""The conversation over real sockets: order of commands, envelope, refusals, failures."""

from __future__ import annotations

import logging
import socket
from itertools import pairwise

import pytest

from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.listener import Limits
from relay.smtp.session import Cost
from tests.relay.smtp.listening import HEADER, Raw, running

MESSAGE = HEADER + b"\r\nhej\r\n"


def affords(times: int, cost: Cost) -> Limits:
    """So often, after the EHLO of a sign-in."""
    return Limits(in_vain=Cost.ASIDE + times * cost)


def deliver(client, content=MESSAGE):
    client.begin()
    client.send(content + b".\r\n")
    return client.reply()


def test_greeting_names_no_software(server):
    with Raw(server.port) as raw:
        assert raw.reply() == b"220 relay.example ESMTP\r\n"


@pytest.mark.behaviour(10)
def test_extensions_are_announced(server):
    with Raw(server.port) as raw:
        raw.reply()
        lines = {line[4:] for line in raw.say(b"EHLO x").decode().splitlines()}
    assert lines == {
        "relay.example", "PIPELINING", "SIZE 26214400", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS",
        "ENHANCEDSTATUSCODES", "LIMITS RCPTMAX=100 MAILMAX=10000", "AUTH PLAIN LOGIN",
    }  # fmt: skip


def test_message_arrives_as_sent(server, client):
    assert deliver(client) == b"250 2.0.0 Queued as 1\r\n"
    (message,) = server.ledger.accepted
    assert message.content == MESSAGE
    assert message.envelope == Envelope("anna@firma.example", (Recipient("erik@other.example"),))


@pytest.mark.behaviour(10)
def test_envelope_keeps_what_the_client_said(server, client):
    options = b"SIZE=120 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Ab+2Bc AUTH=<>"
    assert client.code(b"MAIL FROM: <Anna@FIRMA.example> " + options) == 250
    rcpt = "rcpt to:<Jørgen@BLÅBÆR.example> NOTIFY=never ORCPT=rfc822;Erik@x.example"
    assert client.code(rcpt.encode()) == 250
    assert client.code(b"RCPT TO:<erik@other.example>") == 250
    assert client.code(b"DATA") == 354
    client.send("From: anna@firma.example\r\n\r\nblåbær\r\n.\r\n".encode())
    assert client.reply()[:3] == b"250"
    assert server.ledger.accepted[0].envelope == Envelope(
        sender="Anna@firma.example",
        recipients=(
            Recipient("Jørgen@blåbær.example", "NEVER", "rfc822;Erik@x.example"),
            Recipient("erik@other.example"),
        ),
        body="8BITMIME", smtputf8=True, ret="HDRS", envid="Ab+2Bc",
    )  # fmt: skip


def test_null_sender_is_empty(server, client):
    assert client.code(b"MAIL FROM:<>") == 250
    assert client.code(b"RCPT TO:<erik@other.example>") == 250
    assert client.code(b"DATA") == 354
    client.send(MESSAGE + b".\r\n")
    assert client.reply()[:3] == b"250"
    assert server.ledger.accepted[0].envelope.sender == ""


@pytest.mark.behaviour(12)
def test_who_is_named_in_the_header_is_no_recipient_for_that(server, client):
    shown = b"To: ida@other.example\r\nCc: bo@other.example\r\nBcc: carl@other.example\r\n"
    deliver(client, HEADER + shown + b"\r\nhej\r\n")
    (message,) = server.ledger.accepted
    assert message.envelope.recipients == (Recipient("erik@other.example"),)


@pytest.mark.behaviour(19)
def test_undeclared_8bit_is_marked(server, client):
    deliver(client, HEADER + b"\r\n\xe6\r\n")
    assert server.ledger.accepted[0].envelope.body == "8BITMIME"


def test_recipient_given_twice_counts_once(server, client):
    client.begin(b"erik@other.example", b"erik@OTHER.example")
    client.send(MESSAGE + b".\r\n")
    client.reply()
    assert len(server.ledger.accepted[0].envelope.recipients) == 1


@pytest.mark.behaviour(6)
def test_pipelined_group_is_answered_in_order(server, client):
    client.send(
        b"MAIL FROM:<anna@firma.example>\r\nRCPT TO:<later@other.example>\r\n"
        b"RCPT TO:<erik@other.example>\r\nRCPT TO:<no>\r\nDATA\r\n"
    )
    assert [client.reply()[:3] for _ in range(5)] == [b"250", b"450", b"250", b"553", b"354"]
    client.send(MESSAGE + b".\r\n")
    assert client.reply()[:3] == b"250"
    (message,) = server.ledger.accepted
    assert [recipient.address for recipient in message.envelope.recipients] == [
        "erik@other.example"
    ]


@pytest.mark.parametrize(
    ("command", "start"),
    [
        (b"MAIL FROM:<carl@other.example>", b"550 5.7.1 "),
        (b"MAIL FROM:<carl@notfirma.example>", b"550 5.7.1 "),
        (b"MAIL FROM:anna@firma.example", b"553 5.1.7 "),
        (b"MAIL FROM:<anna@firma.example", b"553 5.1.7 "),
        (b"MAIL FROM:<@x.example:anna@firma.example>", b"553 5.1.7 "),
        (b"MAIL FROM:<anna>", b"553 5.1.7 "),
        ("MAIL FROM:<jørgen@firma.example>".encode(), b"553 5.6.7 "),
        (b"MAIL anna@firma.example", b"501 5.5.4 "),
        (b"MAIL", b"501 5.5.4 "),
        (b"MAIL FROM:<anna@firma.example> FOO=1", b"555 5.5.4 "),
        (b"MAIL FROM:<anna@firma.example> SIZE=99999999999", b"552 5.3.4 "),
        (b"MAIL FROM:<\xff@firma.example>", b"501 5.5.4 "),
        (b"RCPT TO:<erik@other.example>", b"503 5.5.1 "),
        (b"DATA", b"503 5.5.1 "),
        (b"VRFY anna", b"252 2.1.5 "),
        (b"EXPN staff", b"502 5.5.1 "),
        (b"BDAT 10 LAST", b"502 5.5.1 "),
        (b"HELP", b"214 2.0.0 "),
        (b"NOOP", b"250 2.0.0 "),
        (b"EHLO", b"501 5.5.4 "),
        (b"FOO", b"500 5.5.1 "),
        (b"", b"500 5.5.1 "),
        (b"\xff\xfe", b"500 5.5.1 "),
        (b"AUTH PLAIN " + b"AAAA", b"503 5.5.1 "),
        (b"NOOP " + b"a" * 5_000, b"500 5.5.6 "),
    ],
)
def test_command_is_answered(client, command, start):
    assert client.say(command).startswith(start)
    assert client.code(b"NOOP") == 250


@pytest.mark.parametrize(
    ("command", "start"),
    [
        (b"MAIL FROM:<anna@firma.example>", b"503 "),
        (b"RCPT TO:<>", b"553 5.1.3 "),
        (b"RCPT TO:<erik>", b"553 5.1.3 "),
        (b"RCPT TO:<erik@[192.0.2.1]>", b"553 5.1.3 "),
        ("RCPT TO:<jørgen@other.example>".encode(), b"553 5.6.7 "),
        (b"RCPT TO:<erik@other.example> FOO=1", b"555 5.5.4 "),
        (b"RCPT TO:<later@other.example>", b"450 4.7.1 "),
        (b"DATA", b"554 5.5.1 "),
        (b"DATA now", b"501 5.5.4 "),
    ],
)
def test_command_after_mail_is_answered(client, command, start):
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 250
    assert client.say(command).startswith(start)


def test_reset_and_ehlo_forget_the_message(client):
    for command in (b"RSET", b"EHLO again.example"):
        assert client.code(b"MAIL FROM:<anna@firma.example>") == 250
        assert client.code(command) == 250
        assert client.code(b"RCPT TO:<erik@other.example>") == 503


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"Subject: no author\r\n\r\n", b"554 5.6.0 "),
        (HEADER + b"From: two@firma.example\r\n\r\n", b"554 5.6.0 "),
        (
            HEADER + b"Reply-To: a@firma.example\r\nreply-to: b@firma.example\r\n\r\n",
            b"554 5.6.0 From, Sender, Reply-To, Date or Message-ID stands more than once",
        ),
        (HEADER + b"Received: by x\r\n" * 30 + b"\r\n", b"554 5.4.6 "),
        (HEADER + b"\r\n" + b"a" * 70_000 + b"\r\n", b"554 5.6.0 "),
        (HEADER + b"X-A: 1\r\n" * 100_000 + b"\r\n", b"554 5.6.0 "),
        (HEADER + b"X-A: " + b"a" * 10_000_000 + b"\r\n\r\n", b"554 5.6.0 "),
    ],
    ids=["no From", "two From", "two Reply-To", "loop", "long line", "many fields", "10 MB field"],
)
def test_content_is_refused_and_the_next_one_taken(server, client, content, start):
    assert deliver(client, content).startswith(start)
    assert deliver(client)[:3] == b"250"
    assert len(server.ledger.accepted) == 1


def test_ten_megabyte_command_is_refused_once(client):
    assert client.say(b"NOOP " + b"a" * 10_000_000).startswith(b"500 5.5.6 ")
    assert client.code(b"NOOP") == 250


@pytest.mark.behaviour(7)
def test_too_many_recipients_wait_and_far_too_many_end_the_connection(client):
    """A thousand of one message are answered, whatever the program heard of RCPTMAX."""
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 250
    client.send(b"".join(b"RCPT TO:<r%d@other.example>\r\n" % number for number in range(1_091)))
    replies = [client.reply()[:9] for _ in range(1_091)]
    assert replies == [b"250 2.1.5"] * 100 + [b"452 4.5.3"] * 990 + [b"421 4.7.0"]


MISTYPED = [
    b"RCPT TO:<erik>",
    b"RCPT erik",
    b"RCPT TO:<erik@other.example> FOO=1",
    b"RCPT TO:<\xe6@x>",
]


@pytest.mark.behaviour(6)
@pytest.mark.parametrize("mistyped", MISTYPED)
def test_mistyped_recipients_take_nothing_from_the_others(server, client, mistyped):
    assert client.code(b"MAIL FROM:<anna@firma.example>") == 250
    assert {client.code(mistyped) // 100 for _ in range(40)} == {5}
    assert client.code(b"RCPT TO:<erik@other.example>") == 250
    assert client.code(b"DATA") == 354
    client.send(MESSAGE + b".\r\n")
    assert client.reply()[:3] == b"250"


@pytest.mark.behaviour(7)
def test_who_names_the_same_recipient_again_and_again_is_hung_up_on():
    with running(limits=affords(30, Cost.SURPLUS)) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
        same = [raw.code(b"RCPT TO:<erik@other.example>") for _ in range(32)]
        assert same == [250] * 31 + [421]


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(
    ("before", "said"), [(b"NOOP", 503), (b"MAIL FROM:<anna@firma.example>", 553)]
)
def test_who_names_recipients_in_vain_is_hung_up_on(before: bytes, said: int):
    """A message that is taken makes up for all before it."""
    with running(limits=affords(30, Cost.REFUSED)) as server, Raw(server.port) as raw:
        raw.sign_in()
        for _ in range(2):
            assert raw.code(before) == 250
            assert {raw.code(b"RCPT TO:<erik>") for _ in range(22)} == {said}
            raw.code(b"RSET")
            assert deliver(raw)[:3] == b"250"
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
        vain = [raw.code(b"RCPT TO:<erik>") for _ in range(35)]
        assert vain == [553] * 34 + [421]
        assert raw.reply() == b""


@pytest.mark.behaviour(7)
@pytest.mark.parametrize("octets", [b"RCPT TO:<\xff>", b"QUIT \xff", b"MAIL \xff"])
def test_octets_that_are_no_text_do_not_go_on_for_ever(octets: bytes):
    with running(limits=affords(30, Cost.REFUSED)) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
        assert [raw.code(octets) for _ in range(31)] == [501] * 30 + [421]


@pytest.mark.behaviour(7)
def test_who_sends_nothing_but_what_is_refused_is_hung_up_on():
    with running(limits=affords(5, Cost.ASIDE)) as server, Raw(server.port) as raw:
        raw.sign_in()
        said = [deliver(raw, b"Subject: no author\r\n\r\n")[:3] for _ in range(6)]
        assert said == [b"554"] * 5 + [b"421"]
        assert raw.reply() == b""


@pytest.mark.behaviour(6)
def test_group_behind_a_refused_sender_is_no_fault(server, client):
    group = b"MAIL FROM:<carl@other.example>\r\n" + b"RCPT TO:<erik@other.example>\r\n" * 60
    for _ in range(5):
        client.send(group + b"DATA\r\n")
        codes = [client.reply()[:3] for _ in range(62)]
        assert codes == [b"550"] + [b"503"] * 61
    assert deliver(client)[:3] == b"250"


def test_recipients_from_nobody_are_wrong(server):
    with Raw(server.port) as raw:
        raw.reply()
        assert [raw.code(b"RCPT TO:<a@b.example>") for _ in range(21)] == [503] * 20 + [421]


@pytest.mark.behaviour(6)
def test_message_full_of_refused_recipients_leaves_the_connection(client):
    """An old list is no attack: three messages of RCPTMAX recipients, and not one that is taken."""
    for _ in range(3):
        assert client.code(b"MAIL FROM:<anna@firma.example>") == 250
        client.send(b"RCPT TO:<later@other.example>\r\n" * 100)
        assert {client.reply()[:3] for _ in range(100)} == {b"450"}
        assert client.code(b"RSET") == 250
    assert deliver(client)[:3] == b"250"


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(
    "command",
    [
        b"NOOP", b"RSET", b"HELP", b"VRFY erik", b"EHLO x", b"HELO x", b"DATA",
        b"MAIL FROM:<carl@other.example>",
    ],
)  # fmt: skip
def test_commands_without_a_message_are_capped(certificates, command):
    with running(limits=Limits(in_vain=10 * Cost.ASIDE)) as server, Raw(server.port) as raw:
        raw.sign_in()  # one EHLO
        for _ in range(2):
            assert {raw.code(command) for _ in range(9)} != {421}
            assert deliver(raw)[:3] == b"250"
        assert {raw.code(command) for _ in range(10)} != {421}
        assert raw.say(command).startswith(b"421 4.7.0 ")
        assert raw.reply() == b""


TAKEN = b"".join(b"RCPT TO:<r%d@other.example>\r\n" % number for number in range(98))


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(
    ("flood", "at_once"),
    [
        (b"MAIL FROM:<anna@firma.example>\r\n" + TAKEN + b"RSET\r\n", 50),
        (b"NOOP\r\n" * 100, 1),
        (b"FOO\r\n" * 100, 1),
        (b"RCPT TO:<erik@other.example>\r\n" * 100, 1),
        (b"MAIL FROM:<carl@other.example>\r\n" * 100, 1),
        (b"MAIL FROM:<anna@firma.example>\r\n" + b"RCPT TO:<erik>\r\n" * 98 + b"RSET\r\n", 2),
        (b"RSET\r\nMAIL FROM:<anna@firma.example>\r\n" + b"RCPT TO:<a@b.c>\r\n" * 98, 3),
    ],
    ids=["taken", "NOOP", "wrong", "without MAIL", "refused MAIL", "refused", "same"],
)  # fmt: skip
def test_flood_of_commands_lets_others_have_their_turn(flood: bytes, at_once: int):
    """At most fifty commands; behind one in vain, the next is behind everybody's."""
    with running(limits=Limits(in_vain=10**9)) as server, Raw(server.port) as raw:
        raw.sign_in()
        conversation = server.conversation
        seen = [conversation._spoken]

        def turn():
            seen.append(conversation._spoken)
            if seen[-1] < 3_000:
                conversation.loop.call_soon(turn)

        conversation.loop.call_soon_threadsafe(turn)
        raw.send(flood * 30)
        for _ in range(3_000):
            raw.reply()
    assert max(after - before for before, after in pairwise(seen)) <= at_once


@pytest.mark.behaviour(4)
@pytest.mark.parametrize("step", ["authenticate", "mail", "rcpt", "accept"])
def test_failure_is_temporary_and_silent(server, step, caplog):
    server.ledger.fails_at = step
    steps = [
        ("authenticate", b"AUTH LOGIN YW5uYQ==", 334),
        ("authenticate", b"Y29ycmVjdC1ob3JzZQ==", 235),
        ("mail", b"MAIL FROM:<anna@firma.example>", 250),
        ("rcpt", b"RCPT TO:<erik@other.example>", 250),
        ("data", b"DATA", 354),
        ("accept", MESSAGE + b".", 250),
    ]
    with Raw(server.port) as raw, caplog.at_level(logging.DEBUG):
        raw.reply()
        raw.say(b"EHLO x")
        for name, command, code in steps:
            reply = raw.say(command)
            if name == step and code != 334:
                break
            assert reply.startswith(str(code).encode())
        assert reply.startswith(b"451 4.3.0 ")
        assert b"secret" not in reply
        assert raw.code(b"NOOP") == 250
    assert "RuntimeError" in caplog.text
    assert "@" not in caplog.text
    assert "secret" not in caplog.text
    assert server.ledger.accepted == []


def test_failure_before_the_greeting_hangs_up(server):
    server.ledger.fails_at = "connect"
    with Raw(server.port) as raw:
        assert raw.reply() == b""


def test_no_address_is_logged(server, client, caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("mail.log").setLevel(logging.DEBUG)
        deliver(client)
        client.say(b"MAIL FROM:<anna@firma.example")
    assert "example" not in caplog.text


def test_browser_is_turned_away(server):
    with Raw(server.port) as raw:
        raw.reply()
        assert raw.code(b"POST / HTTP/1.1") == 421
        assert raw.reply() == b""


def test_wrong_commands_end_the_connection(client):
    codes = [client.code(b"FOO") for _ in range(20)]
    assert codes == [500] * 19 + [421]
    assert client.reply() == b""


def test_half_closed_client_still_gets_its_answer(server, client):
    client.begin()
    client.send(MESSAGE + b".\r\nQUIT\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.reply()[:3] == b"250"
    assert client.reply()[:3] == b"221"


def test_client_that_vanishes_in_data_leaves_nothing(server, client):
    client.begin()
    client.send(MESSAGE)
    client.socket.close()
    with Raw(server.port) as other:
        other.sign_in()
        assert deliver(other)[:3] == b"250"
    assert len(server.ledger.accepted) == 1
    assert server.listener.held == 0


@pytest.mark.behaviour(3)
def test_undeclared_oversize_is_read_to_its_end_and_refused_once(certificates):
    with running(limits=Limits(size=10_000)) as small, Raw(small.port) as raw:
        raw.sign_in()
        assert raw.code(b"MAIL FROM:<anna@firma.example> SIZE=10001") == 552
        assert deliver(raw, HEADER + b"\r\n" + b"a" * 70 + b"\r\n" * 40_000)[:9] == b"552 5.3.4"
        assert raw.code(b"NOOP") == 250
        assert deliver(raw)[:3] == b"250"
        assert small.listener.held == 0
