# SPDX-License-Identifier: AGPL-3.0-or-later
"""The test bed's own promises, seen through other people's clients."""

from __future__ import annotations

import smtplib
import socket

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.testbed.dns import Failure, NameServer
from tests.testbed.smtp import FarEnd, Script, threaded


def test_scripted_server_runs_beside_blocking_code():
    script = Script(rcpt={"b@x.example": "550 5.1.1 no such user"})
    with threaded(FarEnd(script)) as far_end, smtplib.SMTP("127.0.0.1", far_end.port) as client:
        refused = client.sendmail("a@x.example", ["b@x.example", "c@x.example"], b"S: x\r\n\r\n.y")
    assert refused == {"b@x.example": (550, b"5.1.1 no such user")}
    (received,) = far_end.ledger
    assert received.recipients == ["c@x.example"]
    assert received.content == b"S: x\r\n\r\n.y\r\n"
    assert received.accepted


def test_commands_right_behind_a_message_are_no_part_of_it():
    said = (
        b"EHLO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
        b"S: x\r\n\r\n\n.\r\n..\r\n.\r\nMAIL FROM:<c@x.example>\r\nQUIT\r\n"
    )
    with (
        threaded(FarEnd()) as far_end,
        socket.create_connection(("127.0.0.1", far_end.port)) as client,
    ):
        client.sendall(said)
        heard = b"".join(iter(lambda: client.recv(1000), b""))
    assert heard.endswith(b"221 2.0.0 bye\r\n")
    (received,) = far_end.ledger
    assert received.content == b"S: x\r\n\r\n\n.\r\n.\r\n"
    assert bytes(far_end.body) == b"S: x\r\n\r\n\n.\r\n..\r\n.\r\n"
    assert far_end.commands[-2:] == ["MAIL FROM:<c@x.example>", "QUIT"]


def ask(server: NameServer, name: str, kind: str = "TXT", tcp: bool = False, patience=30):
    host, _, port = server.server.partition(":")
    query = dns.message.make_query(name, kind)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, host, port=int(port), timeout=patience)


@pytest.mark.parametrize("tcp", [False, True])
def test_name_server_answers_from_its_zone(tcp):
    with NameServer('x.example. 60 IN TXT "one"\na.b.example. 60 IN A 1.1.1.1') as server:
        assert 'TXT "one"' in str(ask(server, "X.example", tcp=tcp))
        assert ask(server, "none.example", tcp=tcp).rcode() == dns.rcode.NXDOMAIN
        # An empty non-terminal and a name without this type exist (RFC 8020 §2).
        assert ask(server, "b.example", tcp=tcp).rcode() == dns.rcode.NOERROR
        assert ask(server, "x.example", "A", tcp).rcode() == dns.rcode.NOERROR
        server.load('x.example. 60 IN TXT "two"')
        assert 'TXT "two"' in str(ask(server, "x.example", tcp=tcp))
        assert server.queries[0] == ("x.example", "TXT")


def test_name_server_says_for_how_long_there_is_nothing():
    zone = "x.example. 60 IN A 1.1.1.1\nx.example. 60 IN SOA ns. me. 1 1 1 1 5"
    with NameServer(zone) as server:
        assert ask(server, "x.example", "TXT").authority
        assert ask(server, "no.x.example").authority
        assert not ask(server, "y.example").authority
        assert not ask(server, "x.example", "A").authority


def test_name_server_fails_when_told_to():
    with NameServer('x.example. 60 IN TXT "one"') as server:
        for failure in (Failure.SERVFAIL, Failure.NXDOMAIN, Failure.REFUSED):
            server.fail("example", failure)
            assert ask(server, "x.example").rcode() == failure.value
        server.fail("example", Failure.TIMEOUT)
        with pytest.raises(dns.exception.Timeout):
            ask(server, "x.example", patience=0.3)
        server.fail("example", None)
        assert ask(server, "x.example").rcode() == dns.rcode.NOERROR
