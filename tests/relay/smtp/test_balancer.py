# SPDX-License-Identifier: AGPL-3.0-or-later
"""Headers of PROXY version 2 as octets."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.smtp.balancer import FIXED, LONGEST, SIGNATURE, Malformed, missing, read
from tests.relay.smtp.balancing import LOCAL, proxied

ADDRESSES = st.ip_addresses().map(str)


@given(ADDRESSES, st.binary(max_size=LONGEST - FIXED - 36), st.binary(max_size=40))
def test_address_is_read_and_nothing_else_is_taken(address, extra, following):
    octets = proxied(address, extra) + following
    assert missing(octets) == 0
    assert read(octets) == (address, following)


@given(ADDRESSES, st.binary(max_size=40), st.data())
def test_header_is_awaited_to_its_end_and_no_further(address, extra, data):
    header = proxied(address, extra)
    part = header[: data.draw(st.integers(0, len(header) - 1))]
    wanted = missing(part)
    assert 0 < wanted <= len(header) - len(part)
    assert len(part) < FIXED or wanted == len(header) - len(part)


@given(st.binary(max_size=600))
def test_anything_is_read_or_refused(octets):
    try:
        if missing(SIGNATURE + octets) == 0:
            read(SIGNATURE + octets)
    except Malformed:
        return


def test_balancer_that_speaks_for_itself_has_no_client():
    assert read(LOCAL + b"EHLO x\r\n") == ("", b"EHLO x\r\n")
    assert read(SIGNATURE + struct.pack("!BBH", 0x20, 0x11, 12) + bytes(12)) == ("", b"")


@pytest.mark.parametrize(
    "octets",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n",
        b"EHLO x\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, LONGEST - FIXED + 1),
    ],
    ids=["version 1", "no header", "no signature", "too long"],
)
def test_header_that_can_only_be_wrong_is_refused_at_once(octets):
    with pytest.raises(Malformed):
        missing(octets)


@pytest.mark.parametrize(
    ("command", "family", "rest"),
    [
        (0x11, 0x11, 12), (0x22, 0x11, 12), (0x31, 0x11, 12), (0x21, 0x00, 12), (0x21, 0x12, 12),
        (0x21, 0x22, 36), (0x21, 0x31, 216), (0x21, 0x11, 11), (0x21, 0x21, 35), (0x21, 0x21, 12),
    ],
)  # fmt: skip
def test_anything_but_tcp_is_refused(command, family, rest):
    with pytest.raises(Malformed):
        read(SIGNATURE + struct.pack("!BBH", command, family, rest) + bytes(rest))


def test_addresses_are_canonical():
    assert read(proxied("2001:DB8:0::1"))[0] == str(ip_address("2001:db8::1"))
