# SPDX-License-Identifier: AGPL-3.0-or-later
"""What mail takes in memory: one bound for all of it, and no copy more than needed."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from relay.smtp.answers import Answer
from relay.smtp.headers import Trace, check_lines, edit, scan
from relay.smtp.intake import Content
from relay.smtp.listener import Limits
from relay.smtp.policy import Client, Submitted
from tests.relay.smtp.listening import (
    HEADER,
    PLAIN,
    TENANTS,
    USER,
    Ledger,
    Raw,
    plain_of,
    running,
)
from tests.relay.smtp.test_listener import MESSAGE, settled

LARGE = HEADER + b"Bcc: bo@other.example\r\n\r\n" + b"a" * 70 + b"\r\n" * 2_500_000
TRACE = Trace(hostname="relay.example", queue_id="1", at=datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.behaviour(3)
def test_memory_is_shared_and_given_back():
    with running(limits=Limits(size=300_000, memory=400_000)) as server:
        with Raw(server.port) as first, Raw(server.port) as second:
            first.sign_in().begin()
            first.send(HEADER + b"\r\n" + b"a\r\n" * 90_000)
            assert settled(lambda: server.listener.held > 200_000)
            second.sign_in(plain_of("bo"))
            assert second.code(b"MAIL FROM:<anna@firma.example> SIZE=250000") == 452
            second.begin()
            second.send(HEADER + b"\r\n" + b"b\r\n" * 90_000 + b".\r\n")
            assert second.reply().startswith(b"452 4.3.1 ")
            first.send(b".\r\n")
            assert first.reply()[:3] == b"250"
        assert settled(lambda: server.listener.held == 0)


@pytest.mark.behaviour(3)
def test_declared_size_has_its_room_from_354_on():
    limits = Limits(size=300_000, memory=400_000, small=1_000)
    with running(limits=limits) as server, Raw(server.port) as first, Raw(server.port) as second:
        for raw in (first.sign_in(), second.sign_in(plain_of("bo"))):
            assert raw.code(b"MAIL FROM:<anna@firma.example> SIZE=250000") == 250
            assert raw.code(b"RCPT TO:<erik@other.example>") == 250
        assert first.code(b"DATA") == 354
        assert second.say(b"DATA").startswith(b"452 4.3.1 ")
        first.send(MESSAGE + b".\r\n")
        assert first.reply()[:3] == b"250"
        assert server.listener.held == 0
        second.begin()
        second.send(MESSAGE + b".\r\n")
        assert second.reply()[:3] == b"250"


SMALL_SHARE = Limits(size=300_000, memory=1_372_000, small=1_000)


@pytest.mark.behaviour(3)
def test_owner_that_declares_all_it_may_leaves_the_rest_to_others():
    with running(limits=SMALL_SHARE) as server, ExitStack() as open_ones:
        first, second = (open_ones.enter_context(Raw(server.port)).sign_in() for _ in range(2))
        assert first.code(b"MAIL FROM:<anna@firma.example> SIZE=300000") == 250
        assert first.code(b"RCPT TO:<erik@other.example>") == 250
        assert first.code(b"DATA") == 354
        assert second.say(b"MAIL FROM:<anna@firma.example> SIZE=99000").startswith(b"452 4.3.1 ")
        for user in TENANTS[1:4]:
            other = open_ones.enter_context(Raw(server.port)).sign_in(plain_of(user))
            assert other.code(b"MAIL FROM:<anna@firma.example> SIZE=300000") == 250
            assert other.code(b"RCPT TO:<erik@other.example>") == 250
            assert other.code(b"DATA") == 354
        first.send(MESSAGE + b".\r\n")
        assert first.reply()[:3] == b"250"
        assert second.code(b"MAIL FROM:<anna@firma.example> SIZE=300000") == 250


@pytest.mark.behaviour(3)
@pytest.mark.parametrize(("small", "size", "code"), [(1_000, 900, 250), (1_000, 1_100, 452)])
def test_large_mail_of_however_many_leaves_room_for_small(small: int, size: int, code: int):
    limits = Limits(size=300_000, memory=1_200_000, small=small)
    with running(limits=limits) as server, ExitStack() as open_ones:
        for user, octets in zip(TENANTS, (300_000, 300_000, 300_000, 149_500), strict=False):
            raw = open_ones.enter_context(Raw(server.port)).sign_in(plain_of(user))
            assert raw.code(f"MAIL FROM:<anna@firma.example> SIZE={octets}".encode()) == 250
            assert raw.code(b"RCPT TO:<erik@other.example>") == 250
            assert raw.code(b"DATA") == 354
        newcomer = open_ones.enter_context(Raw(server.port)).sign_in(plain_of(TENANTS[4]))
        declared = f"MAIL FROM:<anna@firma.example> SIZE={size}".encode()
        assert newcomer.code(declared) == code


@pytest.mark.behaviour(3)
def test_what_was_granted_stays_and_what_is_small_takes_nothing_before_it_comes():
    limits = Limits(size=300_000, memory=400_000, small=100_000)
    with running(limits=limits) as server, ExitStack() as open_ones:
        large, *small = (
            open_ones.enter_context(Raw(server.port)).sign_in(plain_of(user)) for user in TENANTS
        )
        announced = [(large, 300_000), *((raw, 90_000) for raw in small)]
        for raw, octets in announced:
            assert raw.code(f"MAIL FROM:<anna@firma.example> SIZE={octets}".encode()) == 250
            assert raw.code(b"RCPT TO:<erik@other.example>") == 250
            assert raw.code(b"DATA") == 354
        assert server.listener.held == 300_000
        small[0].send(HEADER + b"\r\n" + b"a\r\n" * 25_000)
        assert settled(lambda: server.listener.held > 370_000)
        large.send(HEADER + b"\r\n" + b"a\r\n" * 90_000)
        large.send(b".\r\n")
        assert large.reply()[:3] == b"250"


@pytest.mark.behaviour(3)
def test_undeclared_content_counts_in_its_owners_share():
    lines = b"a\r\n" * 90_000
    with running(limits=SMALL_SHARE) as server:
        with Raw(server.port) as first, Raw(server.port) as second, Raw(server.port) as other:
            for raw, user in ((first, USER), (second, USER), (other, "bo")):
                raw.sign_in(plain_of(user)).begin()
            first.send(HEADER + b"\r\n" + lines)
            assert settled(lambda: server.listener.held > 200_000)
            for raw, code in ((second, b"452"), (other, b"250")):
                raw.send(HEADER + b"\r\n" + lines + b".\r\n")
                assert raw.reply()[:3] == code
            first.send(b".\r\n")
            assert first.reply()[:3] == b"250"
        assert settled(lambda: server.listener.held == 0)
        assert not server.listener._held_of


@pytest.mark.behaviour(3)
def test_message_alone_may_be_larger_than_the_share():
    limits = Limits(size=300_000, memory=400_000)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in().begin()
        raw.send(HEADER + b"\r\n" + b"a\r\n" * 90_000 + b".\r\n")
        assert raw.reply()[:3] == b"250"


def test_message_that_was_taken_is_held_no_longer():
    content = Content(len(LARGE))
    content.feed(LARGE + b".\r\n")
    assert content.take() == LARGE
    assert content.held == 0


def test_edit_copies_the_message_once():
    check_lines(LARGE)
    header = scan(LARGE)
    tracemalloc.start()
    assert len(edit(LARGE, header, TRACE)) > 0.9 * len(LARGE)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1.1 * len(LARGE)


class Counting(Ledger):
    """Notes how many hold the message besides itself."""

    others = -1

    async def accept(self, client: Client, message: Submitted) -> Answer:
        self.others = sys.getrefcount(message) - 2  # this frame, and the call
        return await super().accept(client, message)


def test_policy_alone_holds_the_message():
    with running() as server, Raw(server.port) as raw:
        server.listener.policy = counting = Counting()
        raw.sign_in().begin()
        raw.send(MESSAGE + b".\r\n")
        assert raw.reply()[:3] == b"250"
        assert counting.others == 0


def test_message_counts_while_it_is_stored():
    with running() as server, Raw(server.port) as raw:
        server.ledger.waits = threading.Event()
        raw.sign_in().begin()
        raw.send(MESSAGE + b".\r\n")
        assert settled(lambda: server.listener.held == len(MESSAGE))
        server.ledger.waits.set()
        assert raw.reply()[:3] == b"250"
        assert server.listener.held == 0


@pytest.mark.parametrize("pause", [0, 0.3])
def test_stranger_that_goes_on_and_on_is_hung_up_on(pause):
    with running(limits=Limits(sign_in_delay=30)) as server, Raw(server.port) as raw:
        raw.reply()
        raw.say(b"EHLO x")
        flood = b"AUTH PLAIN AGFubmEAd3Jvbmc=\r\n" + b"NOOP\r\n" * 10_000
        at = 30 if pause else len(flood)
        raw.send(flood[:at])
        time.sleep(pause)
        raw.send(flood[at:])
        assert raw.reply() == b""


def test_who_has_signed_in_may_be_ahead():
    with running(limits=Limits(in_vain=10**9)) as server, Raw(server.port) as raw:
        raw.sign_in(PLAIN)
        raw.send(b"NOOP\r\n" * 50_000)
        assert all(raw.reply()[:3] == b"250" for _ in range(50_000))
