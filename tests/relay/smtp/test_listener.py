# SPDX-License-Identifier: AGPL-3.0-or-later
"""Bounds that one client meets, time limits, and the orderly end."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable

import pytest

from relay.smtp import answers
from relay.smtp.listener import Limits
from tests.relay.smtp.listening import HEADER, Raw, running

MESSAGE = HEADER + b"\r\nhej\r\n"


def settled(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.behaviour(7)
def test_messages_on_one_connection_are_counted():
    with running(limits=Limits(messages=2)) as server, Raw(server.port) as raw:
        raw.sign_in()
        for _ in range(2):
            raw.begin()
            raw.send(MESSAGE + b".\r\n")
            assert raw.reply()[:3] == b"250"
        assert raw.code(b"MAIL FROM:<anna@firma.example>") == 421


@pytest.mark.behaviour(7)
def test_messages_that_are_given_up_count_too():
    with running(limits=Limits(messages=5)) as server, Raw(server.port) as raw:
        raw.sign_in()
        for _ in range(5):
            assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
            assert raw.code(b"RSET") == 250
        assert raw.say(b"MAIL FROM:<anna@firma.example>").startswith(b"421 4.7.0 ")


@pytest.mark.behaviour(7)
def test_idle_client_is_sent_away():
    with running(limits=Limits(idle=0.3)) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert raw.reply().startswith(b"421 4.4.2 ")
        assert raw.reply() == b""


def repeat(raw: Raw, octets: bytes, *, pause: float = 0.05, seconds: float = 4) -> bytes:
    """Send the same again and again; the reply that ends the connection, b"" without one."""
    end, heard = time.monotonic() + seconds, b""
    while time.monotonic() < end and not heard.startswith(b"421"):
        try:
            raw.send(octets)
        except OSError:
            return b""
        if select.select([raw.socket], [], [], pause)[0]:
            heard = raw.reply()
    return heard if heard.startswith(b"421") else b""


def test_command_line_that_never_ends_is_cut():
    with running(limits=Limits(idle=0.5, in_vain=10**9)) as server, Raw(server.port) as raw:
        assert raw.reply()[:3] == b"220"
        assert repeat(raw, b"A").startswith(b"421 4.4.2 ")
        assert raw.reply() == b""


def test_each_command_has_the_whole_idle_limit():
    with running(limits=Limits(idle=0.5, in_vain=10**9)) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert repeat(raw, b"NOOP\r\n", pause=0.3, seconds=1.5) == b""


def test_client_that_does_not_sign_in_is_sent_away():
    limits = Limits(idle=0.5, unknown=0.8, in_vain=10**9)
    with running(limits=limits) as server, Raw(server.port) as raw:
        assert raw.reply()[:3] == b"220"
        assert repeat(raw, b"NOOP\r\n").startswith(b"421 4.4.2 Nobody signed in")
        assert raw.reply() == b""


def test_who_has_signed_in_may_stay():
    limits = Limits(idle=0.5, unknown=0.8, in_vain=10**9)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in()
        assert repeat(raw, b"NOOP\r\n", seconds=1.5) == b""


@pytest.mark.behaviour(7)
def test_session_ends_whatever_the_client_does():
    with (
        running(limits=Limits(idle=0.5, session=0.8, in_vain=10**9)) as server,
        Raw(server.port) as raw,
    ):
        raw.sign_in()
        assert repeat(raw, b"NOOP\r\n").startswith(b"421 4.7.0 ")
        assert raw.reply() == b""


def test_session_ends_in_the_middle_of_a_message():
    limits = Limits(idle=0.5, session=0.8, in_vain=10**9)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in().begin()
        assert repeat(raw, b"X: a\r\n").startswith(b"421 4.7.0 ")
        assert server.ledger.accepted == []


def test_silence_in_data_ends_the_connection():
    limits = Limits(idle=0.4, content_silence=0.3)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in()
        raw.begin()
        assert raw.reply().startswith(b"421 4.4.2 ")


def test_content_has_to_end_in_time():
    limits = Limits(idle=0.4, content_silence=5, content_time=0.8, in_vain=10**9)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in().begin()
        assert repeat(raw, HEADER).startswith(b"421 4.4.2 The message came too slowly")
        assert server.ledger.accepted == []


def test_slow_drip_ends_and_steady_flow_does_not():
    limits = Limits(idle=0.4, content_silence=5, content_grace=0.5, byte_rate=100)
    with running(limits=limits) as server, Raw(server.port) as slow, Raw(server.port) as steady:
        for raw in (slow.sign_in(), steady.sign_in()):
            raw.begin()
            raw.send(HEADER + b"\r\n")
        for _ in range(40):
            steady.send(b"a" * 20 + b"\r\n")
            if select.select([slow.socket], [], [], 0.05)[0]:
                break
            slow.send(b"a")
        assert slow.reply().startswith(b"421 4.4.2 ")
        steady.send(b".\r\n")
        assert steady.reply()[:3] == b"250"


def test_client_that_never_reads_is_sent_away():
    with running(limits=Limits(idle=0.5, in_vain=10**9)) as server, Raw(server.port) as raw:
        raw.socket.settimeout(3)
        try:
            for _ in range(2_000):
                raw.send(b"HELP\r\n" * 10_000)
        except OSError:
            pass
        assert settled(lambda: not server.listener.conversations)


@pytest.mark.behaviour(5)
def test_storing_has_a_limit():
    with running(limits=Limits(storing=0.2)) as server, Raw(server.port) as raw:
        server.ledger.waits = threading.Event()
        raw.sign_in().begin()
        raw.send(MESSAGE + b".\r\n")
        assert raw.reply().startswith(b"451 4.3.0 ")


@pytest.mark.behaviour(4)
def test_stopping_lets_messages_after_354_finish():
    with running() as server:
        busy, storing, idle = (Raw(server.port).sign_in() for _ in range(3))
        busy.begin()
        busy.send(HEADER)
        server.ledger.waits = threading.Event()
        storing.begin()
        storing.send(MESSAGE + b".\r\n")
        assert settled(lambda: any(c.storing for c in server.listener.conversations))
        server.stop(5, wait=False)
        assert idle.reply().startswith(b"421 4.3.2 ")
        assert idle.reply() == b""
        with pytest.raises(ConnectionRefusedError):
            Raw(server.port)
        server.ledger.waits.set()
        assert storing.reply()[:3] == b"250"
        assert storing.reply()[:3] == b"421"
        busy.send(b"\r\nhej\r\n.\r\n")
        assert busy.reply()[:3] == b"250"
        assert busy.reply()[:3] == b"421"
        assert len(server.ledger.accepted) == 2
        for raw in (busy, storing, idle):
            raw.socket.close()


def test_grace_ends():
    with running() as server, Raw(server.port) as raw:
        raw.sign_in().begin()
        server.stop(0.2, wait=False)
        assert raw.reply()[:3] == b"421"
        assert server.ledger.accepted == []


@pytest.mark.behaviour(4)
def test_message_that_is_being_stored_is_never_sent_away():
    with running() as server, Raw(server.port) as raw:
        server.ledger.waits = threading.Event()
        raw.sign_in().begin()
        raw.send(MESSAGE + b".\r\n")
        assert settled(lambda: any(c.storing for c in server.listener.conversations))
        server.stop(0.1, wait=False)
        time.sleep(0.5)
        server.ledger.waits.set()
        assert raw.reply()[:3] == b"250"
        assert raw.reply().startswith(b"421 4.3.2 ")
        server.stop(0.1)
    assert len(server.ledger.accepted) == 1


def test_waiting_for_a_store_that_never_answers_ends():
    with running(limits=Limits(storing=0.5)) as server, Raw(server.port) as raw:
        server.ledger.waits = threading.Event()
        raw.sign_in().begin()
        raw.send(MESSAGE + b".\r\n")
        assert settled(lambda: any(c.storing for c in server.listener.conversations))
        server.stop(0.1)
        assert raw.reply()[:3] in (b"451", b"")
    assert server.ledger.accepted == []


@pytest.mark.behaviour(4)
def test_message_whose_end_meets_the_last_word_is_not_taken():
    """421 is a promise as well: the client sends the message again."""
    with running() as server, Raw(server.port) as raw:
        raw.sign_in().begin()
        raw.send(MESSAGE)
        conversation = server.conversation
        assert settled(lambda: server.listener.held > len(MESSAGE))

        def meet():
            conversation.data_received(b".\r\n")
            conversation.close_with(answers.STOPPING)

        conversation.loop.call_soon_threadsafe(meet)
        assert raw.reply().startswith(b"421 4.3.2 ")
        assert raw.reply() == b""
        assert settled(lambda: not server.listener.conversations)
        assert server.ledger.accepted == []
