# SPDX-License-Identifier: AGPL-3.0-or-later
"""Connections that a listed balancer passes on, on both ports."""

from __future__ import annotations

import ssl
import struct
import time
from contextlib import contextmanager
from ipaddress import ip_network

import pytest

from relay.smtp.listener import Limits
from tests.relay.smtp.balancing import LOCAL, SIGNATURE, proxied
from tests.relay.smtp.listening import HEADER, Raw, running
from tests.relay.smtp.test_listener import settled

HERE = (ip_network("127.0.0.0/30"),)


@contextmanager
def behind(certificates, **limits):
    with running(
        tls=certificates.server, balancers=HERE, limits=Limits(sign_in_delay=0.01, **limits)
    ) as server:
        yield server


def connect(server, header, *, implicit, context, source="127.0.0.1"):
    """Through the balancer, up to the greeting that has not been read yet."""
    raw = Raw(server.tls_port if implicit else server.port, source=source)
    raw.send(header)
    if implicit:
        raw.secure(context)
    return raw


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_address_of_the_client_counts(certificates, implicit, address):
    with behind(certificates) as server:
        context = certificates.client
        header = proxied(address, b"\x04\x00\x01\x00")
        with connect(server, header, implicit=implicit, context=context) as raw:
            assert raw.reply().startswith(b"220 ")
            assert server.ledger.clients[-1].address == address
            raw.say(b"EHLO x")
            if not implicit:
                assert raw.code(b"STARTTLS") == 220
                raw.secure(context)
            raw.sign_in_again()
            raw.begin()
            raw.send(HEADER + b"\r\nhej\r\n.\r\n")
            assert raw.reply()[:3] == b"250"


def test_header_may_come_in_pieces_and_with_the_first_command(certificates):
    with behind(certificates) as server, Raw(server.port) as raw:
        octets = proxied("203.0.113.7") + b"EHLO x\r\n"
        for position in range(len(octets)):
            raw.send(octets[position : position + 1])
            time.sleep(0.002)
        assert raw.reply()[:3] == b"220"
        assert raw.reply()[:3] == b"250"
        assert server.ledger.clients[-1].address == "203.0.113.7"


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.7 192.0.2.25 40000 587\r\n",
        b"EHLO client.example\r\n",
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 1_000) + bytes(1_000),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + bytes(216),
    ],
    ids=["version 1", "none", "too long", "no TCP"],
)
def test_balancer_without_a_proper_header_hears_nothing(certificates, header, implicit):
    with behind(certificates) as server:
        with Raw(server.tls_port if implicit else server.port) as raw:
            raw.send(header)
            assert raw.reply() == b""
        assert settled(lambda: not server.listener.conversations)
        assert server.ledger.clients == []


@pytest.mark.parametrize("implicit", [False, True])
def test_balancer_has_to_speak_first_and_soon(certificates, implicit):
    with behind(certificates, origin=0.3) as server:
        with Raw(server.tls_port if implicit else server.port) as raw:
            began = time.monotonic()
            raw.send(SIGNATURE)
            assert raw.reply() == b""
            assert time.monotonic() - began > 0.2
        assert settled(lambda: not server.listener.conversations)


def test_others_cannot_say_who_they_are(certificates):
    """A header from anywhere else is a command line like any other, and a wrong one."""
    with behind(certificates) as server, Raw(server.port, source="127.0.0.9") as raw:
        assert raw.reply()[:3] == b"220"
        raw.send(proxied("203.0.113.7") + b"\r\n")
        assert raw.reply()[:3] == b"500"
        assert server.ledger.clients[-1].address == "127.0.0.9"


def test_others_cannot_say_who_they_are_before_tls(certificates):
    with behind(certificates) as server:
        with Raw(server.tls_port, source="127.0.0.9") as raw:
            raw.send(proxied("203.0.113.7"))
            with pytest.raises((ssl.SSLError, OSError)):
                raw.secure(certificates.client)
        assert server.ledger.clients == []


def test_balancer_that_looks_in_is_greeted_and_counted_nowhere(certificates):
    with behind(certificates, connections_per_address=1) as server:
        looks = [Raw(server.port) for _ in range(3)]
        for raw in looks:
            raw.send(LOCAL)
            assert raw.reply()[:3] == b"220"
            assert raw.code(b"QUIT") == 221
            raw.socket.close()


@pytest.mark.parametrize("implicit", [False, True])
def test_places_are_counted_by_the_client_behind(certificates, implicit):
    with behind(certificates, connections_per_address=1) as server:
        context = certificates.client
        first, other = (
            connect(server, proxied(address), implicit=implicit, context=context)
            for address in ("203.0.113.7", "203.0.113.8")
        )
        for raw in (first, other):
            raw.sign_in() if implicit else raw.reply()
        again = Raw(server.tls_port if implicit else server.port)
        again.send(proxied("203.0.113.7"))
        if implicit:
            assert again.reply() == b""
        else:
            assert again.reply()[:3] == b"220"
            assert first.reply()[:3] == b"421"
        assert other.code(b"NOOP") == 250
        for raw in (first, other, again):
            raw.socket.close()
