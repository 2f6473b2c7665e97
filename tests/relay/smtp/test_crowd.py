# SPDX-License-Identifier: AGPL-3.0-or-later
"""Too many connections: who is refused, who has to go, and who stays."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from relay.smtp import answers
from relay.smtp.answers import Answer
from relay.smtp.crowd import Crowd
from relay.smtp.listener import Limits
from relay.smtp.policy import Client
from tests.relay.smtp.listening import PLAIN, TENANTS, Raw, Running, Tenant, plain_of, running
from tests.relay.smtp.test_listener import settled

TOO_MANY = [
    (Limits(connections=4), b"421 4.3.2 "),
    (Limits(connections_per_address=3), b"421 4.7.0 "),
]


class Visitor:
    """A guest that only remembers what it was told."""

    interruptible, storing = True, False

    def __init__(self, address: str) -> None:
        self.client = Client(address)
        self.told: list[Answer] = []

    def overdue(self, now: float) -> Answer | None:
        return None

    def close_with(self, answer: Answer) -> None:
        self.told.append(answer)


def visitors(*addresses: str) -> list[Visitor]:
    return [Visitor(address) for address in addresses]


def test_who_was_unknown_longest_makes_room():
    crowd = Crowd(4, 4, str)
    first, second, third, late = visitors(*"abcd")
    assert [crowd.admit(guest) for guest in (first, second, third, late)] == [None] * 4
    assert [guest.told for guest in (first, second, third, late)] == [
        [answers.CROWDED], [], [], []
    ]  # fmt: skip
    assert len(crowd) == 3


def test_who_has_signed_in_stays_and_a_quarter_is_kept_for_them():
    crowd = Crowd(8, 8, str)
    known = visitors(*"abcd")
    for number, guest in enumerate(known):
        crowd.admit(guest)
        assert crowd.signed_in(guest, number) is None
    unknown = visitors(*"efghij")
    assert [crowd.admit(guest) for guest in unknown] == [None] * 6
    assert [bool(guest.told) for guest in (*known, *unknown)] == [False] * 4 + [True] * 2 + [
        False
    ] * 4
    for number, guest in enumerate(unknown[2:]):
        assert crowd.signed_in(guest, number) is None
    (late,) = visitors("k")
    assert crowd.admit(late) is answers.CROWDED
    assert late.told == []


def test_network_that_fills_its_places_pays_itself():
    crowd = Crowd(100, 2, lambda address: address[0])
    other, first, second, third = visitors("b1", "a1", "a2", "a3")
    assert [crowd.admit(guest) for guest in (other, first, second, third)] == [None] * 4
    assert [len(guest.told) for guest in (other, first, second, third)] == [0, 1, 0, 0]
    for guest in (second, third):
        assert crowd.signed_in(guest, "anna") is None
    (fourth,) = visitors("a4")
    assert crowd.admit(fourth) is answers.CROWDED_ADDRESS


def test_owner_has_a_quarter_of_all_places_and_others_have_theirs():
    crowd = Crowd(8, 8, str)
    first, second, third, newcomer = visitors(*"abcd")
    for guest in (first, second, third, newcomer):
        assert crowd.admit(guest) is None
    said = [crowd.signed_in(guest, "anna") for guest in (first, second, third)]
    assert said == [None, None, answers.CROWDED_OWNER]
    assert crowd.signed_in(newcomer, "bo") is None
    crowd.left(first)
    assert crowd.signed_in(third, "anna") is None


def test_who_had_to_go_while_it_signed_in_takes_no_place_of_its_owner():
    crowd = Crowd(4, 4, str)
    gone, late = visitors("a", "b")
    crowd.admit(gone)
    crowd.left(gone)
    assert crowd.signed_in(gone, "anna") is None
    crowd.admit(late)
    assert crowd.signed_in(late, "anna") is None


def test_place_goes_to_who_signed_in_last_on_it():
    crowd = Crowd(4, 4, str)
    first, second = visitors("a", "b")
    for guest in (first, second):
        crowd.admit(guest)
    assert [crowd.signed_in(first, owner) for owner in ("anna", "anna", "bo")] == [None] * 3
    assert crowd.signed_in(second, "anna") is None


def test_who_leaves_is_forgotten_once():
    crowd = Crowd(10, 2, str)
    first, second = visitors("a", "a")
    for guest in (first, second):
        crowd.admit(guest)
        crowd.signed_in(guest, "anna")
    for _ in range(2):
        crowd.left(first)
    assert crowd._per_network == {"a": 1}
    crowd.left(second)
    assert not crowd._per_network
    assert not crowd._per_owner
    assert not crowd._unknown


def test_balancer_itself_is_counted_in_no_network():
    crowd = Crowd(10, 1, str)
    assert [crowd.admit(guest) for guest in visitors("", "", "")] == [None] * 3


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(("limits", "start"), TOO_MANY)
def test_known_clients_stay_and_the_late_one_is_refused(limits, start):
    with running(limits=limits) as server, ExitStack() as open_ones:
        places = limits.connections if limits.connections < 10 else 3
        known = [
            open_ones.enter_context(Raw(server.port)).sign_in(plain_of(user))
            for user in TENANTS[:places]
        ]
        with Raw(server.port) as late:
            assert late.reply().startswith(start)
            assert late.reply() == b""
        assert all(guest.code(b"NOOP") == 250 for guest in known)
        known.pop().socket.close()
        assert settled(lambda: len(server.listener.conversations) == places - 1)
        with Raw(server.port) as next_one:
            assert next_one.reply()[:3] == b"220"


@pytest.mark.behaviour(7)
def test_owner_that_holds_all_it_may_keeps_no_newcomer_of_another_out():
    with running(limits=Limits(connections=8)) as server, ExitStack() as open_ones:
        held = [open_ones.enter_context(Raw(server.port)).sign_in() for _ in range(2)]
        for _ in range(8):
            with Raw(server.port) as more:
                more.reply()
                more.say(b"EHLO x")
                said = more.say(b"AUTH PLAIN " + PLAIN)
                assert said.startswith(b"421 4.7.0 Too many connections of your organisation")
                assert more.reply() == b""
        with Raw(server.port) as newcomer:
            newcomer.sign_in(plain_of("bo")).begin()
        assert all(guest.code(b"NOOP") == 250 for guest in held)


def test_who_sends_by_network_takes_its_owners_places():
    with running(limits=Limits(connections=4)) as server, ExitStack() as open_ones:
        server.ledger.by_network = Tenant("anna")
        first, second = (open_ones.enter_context(Raw(server.port)) for _ in range(2))
        for raw, code in ((first, 250), (second, 421)):
            assert raw.reply()[:3] == b"220"
            assert raw.code(b"EHLO x") == 250
            assert raw.code(b"MAIL FROM:<anna@firma.example>") == code
        assert first.code(b"RCPT TO:<erik@other.example>") == 250


@pytest.mark.behaviour(7)
@pytest.mark.parametrize(("limits", "start"), TOO_MANY)
def test_silent_client_makes_room_for_the_late_one(limits, start):
    with running(limits=limits) as server, ExitStack() as open_ones:
        silent = [open_ones.enter_context(Raw(server.port)) for _ in range(3)]
        assert all(guest.reply()[:3] == b"220" for guest in silent)
        with Raw(server.port) as late:
            late.sign_in()
            assert silent[0].reply().startswith(start)
            assert silent[0].reply() == b""
            assert silent[1].code(b"NOOP") == 250
            assert late.code(b"NOOP") == 250


def test_dripping_does_not_help_to_stay():
    with running(limits=Limits(connections=4)) as server, ExitStack() as open_ones:
        dripping = [open_ones.enter_context(Raw(server.port)) for _ in range(3)]
        for guest in dripping:
            assert guest.reply()[:3] == b"220"
            guest.send(b"N")
        dripping[0].send(b"OOP\r\n")
        assert dripping[0].reply()[:3] == b"250"
        with Raw(server.port) as late:
            assert late.reply()[:3] == b"220"
            assert dripping[0].reply()[:3] == b"421"


@pytest.mark.behaviour(7)
def test_handshakes_count_by_address(certificates):
    limits = Limits(connections_per_address=2)
    with running(tls=certificates.server, limits=limits) as server, ExitStack() as open_ones:
        known = [
            open_ones.enter_context(Raw(server.tls_port, certificates.client)).sign_in()
            for _ in range(2)
        ]
        with Raw(server.tls_port) as late:
            assert late.reply() == b""
        known.pop().socket.close()
        assert settled(lambda: len(server.listener.conversations) == 1)
        silent = open_ones.enter_context(Raw(server.tls_port))
        assert settled(lambda: len(server.listener.conversations) == 2)
        open_ones.enter_context(Raw(server.tls_port, certificates.client)).sign_in()
        assert silent.reply() == b""


def test_handshakes_end_with_the_server(certificates):
    with running(tls=certificates.server) as server, Raw(server.tls_port) as silent:
        assert settled(lambda: len(server.listener.conversations) == 1)
        server.stop(0.1)
        assert silent.reply() == b""


def test_addresses_of_one_host_count_together():
    def network(address: str) -> str:
        return address.rpartition(".")[0]

    with running(limits=Limits(connections_per_address=1, network=network)) as server:
        with Raw(server.port) as first:
            first.sign_in()
            with Raw(server.port, source="127.0.0.2") as second:
                assert second.reply().startswith(b"421 4.7.0 ")
            with Raw(server.port, source="127.0.1.1") as elsewhere:
                assert elsewhere.reply()[:3] == b"220"
        assert settled(lambda: not server.listener.conversations)


def test_last_word_that_nobody_reads_is_not_kept_for_ever():
    limits = Limits(idle=60, in_vain=10**9, goodbye=0.2)
    with running(limits=limits) as server, Raw(server.port) as raw:
        raw.sign_in()
        conversation = server.conversation
        fill(raw, server)
        conversation.loop.call_soon_threadsafe(conversation.close_with, answers.IDLE)
        assert settled(lambda: conversation.transport is None)


def fill(raw: Raw, server: Running) -> None:
    """Have the server answer until nothing more goes out."""
    transport = server.conversation.transport
    assert transport is not None
    transport.set_write_buffer_limits(10**9)  # it must not look as if nothing could be said
    raw.socket.setblocking(False)
    end = time.monotonic() + 20
    while not transport.get_write_buffer_size() and time.monotonic() < end:
        try:
            raw.send(b"HELP\r\n" * 500)
        except OSError:
            time.sleep(0.01)
    assert transport.get_write_buffer_size()
