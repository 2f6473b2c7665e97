# SPDX-License-Identifier: AGPL-3.0-or-later
"""Only CRLF.CRLF ends DATA. Each imitation is refused, reaches nobody, and harms no later one."""

from __future__ import annotations

import pytest

from tests.relay.smtp.listening import HEADER
from tests.security.newlines import CUTS, REFUSED, SMUGGLED, STUFFED, send


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.behaviour(1)
def test_false_end_of_data_is_refused(server, client, name, cut):
    end, before = REFUSED[name], HEADER + b"\r\nfirst"
    client.begin()
    send(client, before + end + SMUGGLED + b"\r\n.\r\n", len(before) + len(end) // 2, cut)
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


@pytest.mark.parametrize(("sent", "kept"), STUFFED)
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
