# SPDX-License-Identifier: AGPL-3.0-or-later
"""Only CRLF.CRLF ends DATA. Each imitation is refused, reaches nobody, and harms no later one."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.relay.smtp.listening import HEADER

FALSE_ENDS = {
    "LF.LF": b"\n.\n",
    "CR.CR": b"\r.\r",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CR.LF": b"\r.\n",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
}
VARIANTS = {
    **FALSE_ENDS,
    **{f"{name} doubled": end.replace(b".", b"..") for name, end in FALSE_ENDS.items()},
}
SMUGGLED = (
    b"MAIL FROM:<boss@firma.example>\r\nRCPT TO:<victim@other.example>\r\nDATA\r\n"
    b"From: boss@firma.example\r\n\r\nsmuggled\r\n"
)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("pieces", ["whole", "octets", "split in the end"])
@pytest.mark.behaviour(1)
def test_false_end_of_data_is_refused(server, client, name, pieces):
    end = VARIANTS[name]
    client.begin()
    before = HEADER + b"\r\nfirst"
    message = before + end + SMUGGLED + b"\r\n.\r\n"
    middle = len(before) + len(end) // 2
    cuts = {
        "whole": [0, len(message)],
        "octets": list(range(len(message) + 1)),
        "split in the end": [0, middle, len(message) - 3, len(message)],
    }[pieces]
    for start, stop in itertools.pairwise(cuts):
        client.send(message[start:stop])
        # Without a pause the server would read the pieces as one.
        time.sleep(0.02 if pieces == "split in the end" else 0)
    assert client.reply().startswith(b"554 5.6.0 ")
    assert server.ledger.accepted == []
    client.begin(b"control@other.example")
    client.send(HEADER + b"\r\ncontrol\r\n.\r\n")
    assert client.reply().startswith(b"250 ")
    (only,) = server.ledger.accepted
    assert only.content == HEADER + b"\r\ncontrol\r\n"
    assert [recipient.address for recipient in only.envelope.recipients] == [
        "control@other.example"
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"\r\n", b"\r\n"),
        (b"..\r\n", b".\r\n"),
        (b"...\r\n", b"..\r\n"),
        (b".. \r\n", b". \r\n"),
        (b"..a\r\n..\r\n..\r\n", b".a\r\n.\r\n.\r\n"),
        (b".a\r\n", b"a\r\n"),
        (b"a.\r\n", b"a.\r\n"),
    ],
)
@pytest.mark.behaviour(2)
def test_dots_are_unstuffed_once(server, client, sent, kept):
    for chunk in (1, 3, 10_000):
        client.begin()
        message = HEADER + b"\r\n" + sent + b".\r\n"
        for start in range(0, len(message), chunk):
            client.send(message[start : start + chunk])
        assert client.reply().startswith(b"250 ")
        assert server.ledger.accepted[-1].content == HEADER + b"\r\n" + kept


def test_true_end_starts_the_next_command(server, client):
    """Two whole transactions in one packet are two messages: that is pipelining, not smuggling."""
    client.begin()
    envelope = b"MAIL FROM:<anna@firma.example>\r\nRCPT TO:<two@other.example>\r\nDATA\r\n"
    client.send(HEADER + b"\r\none\r\n.\r\n" + envelope + HEADER + b"\r\ntwo\r\n.\r\nQUIT\r\n")
    replies = [client.reply()[:3] for _ in range(6)]
    assert replies == [b"250", b"250", b"250", b"354", b"250", b"221"]
    assert [message.content[-5:] for message in server.ledger.accepted] == [b"one\r\n", b"two\r\n"]


def test_bare_line_feed_in_commands_is_refused(server, client):
    assert client.say(b"NOOP\nNOOP").startswith(b"500 5.5.2 ")
    assert client.reply().startswith(b"250 ")
    assert client.say(b"MAIL FROM:<anna@firma.example>\rRCPT TO:<x@y.example>").startswith(b"500 ")
    assert client.say(b"NO\0OP").startswith(b"500 ")


def test_empty_message_ends_at_once(server, client):
    client.begin()
    client.send(b".\r\n")
    assert client.reply().startswith(b"554 5.6.0 ")
