# SPDX-License-Identifier: AGPL-3.0-or-later
"""Inputs that are meant to harm the SMTP server, each with an honest client beside it.

The bars are 5 seconds, 64 MiB and 500 ms. Figures are printed (`-rP` shows them); the limits on
time here are wide, because a machine that tests may be busy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import product

import pytest

from tests.relay import mail
from tests.relay.process import Process, running
from tests.relay.smtp.listening import HEADER, Raw
from tests.relay.submitting import credential, domain
from tests.security.bystander import Watch, beside, resident, signed_in
from tests.testbed.certificates import Authority

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

GROWTH_MIB = 64
WITHIN_SECONDS, HONEST_SECONDS = 60.0, 5.0
SMALL, FULL = 10, 1
ENOUGH = {SMALL: 15, FULL: 40}  # honest messages
SIZES = [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.full)]
# Other organisations, each with its domain.
NEIGHBOURS = {f"neighbour-{number}": f"n{number}.example" for number in range(5)}
SOURCES = [f"127.0.0.{number}" for number in range(2, 6)]
Attack = Callable[[Raw, int], Counter[bytes]]


@pytest.fixture
def process(tmp_path, request) -> Iterator[Process]:
    """With fewer places than dripping connections, in the small run as in the full one.

    The bystander and most attackers are one organisation; none has more than a quarter of all.
    """
    small = "small" in request.node.name
    for username, name in {"anna": "firma.example", **NEIGHBOURS}.items():
        house = mail.organisation(username)
        domain(house, name)
        credential(house, username, rate_per_minute=1_000_000, daily_cap=1_000_000)
    places = {"SMTP_CONNECTIONS": "80"} if small else {}
    with running(Process(Authority(tmp_path), tmp_path, **places)) as started:
        yield started


def content(*pieces: bytes, sender: bytes = b"anna@firma.example") -> Attack:
    """A message of these pieces; the last one as often as told, divided by the size of the run."""

    def attack(raw: Raw, part: int) -> Counter[bytes]:
        raw.begin(sender=sender)
        raw.send(b"".join(pieces[:-2]))
        for _ in range(int(pieces[-1]) // part):
            raw.send(pieces[-2])
        raw.send(b"\r\n.\r\n")
        return Counter([raw.reply()[:9]])

    return attack


def command(raw: Raw, part: int) -> Counter[bytes]:
    raw.send(b"NOOP ")
    for _ in range(160 // part):
        raw.send(b"a" * 65_536)
    raw.send(b"\r\n")
    return Counter([raw.reply()[:9]])


def recipients(raw: Raw, part: int) -> Counter[bytes]:
    assert raw.code(b"MAIL FROM:<anna@firma.example>") == 250
    many = 10_000 // part
    with suppress(OSError):  # it is hung up on before all of it is said
        raw.send(b"".join(b"RCPT TO:<r%d@other.example>\r\n" % number for number in range(many)))
    said = Counter(raw.reply()[:9] for _ in range(many))
    del said[b""], said[b"421 4.7.0"]
    return said


TEXT = (b"a" * 1_022 + b"\r\n") * 64  # 64 KiB
DEEP = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
)
ATTACKS: dict[str, tuple[Attack, set[bytes]]] = {
    "100,000 headers": (content(HEADER, b"X-A: 1\r\n" * 100, b"1000"), {b"554 5.6.0"}),
    "10 MB header line": (content(HEADER, b"X-A: ", b"a" * 65_536, b"160"), {b"554 5.6.0"}),
    "10 MB command": (command, {b"500 5.5.6"}),
    "10,000 recipients": (recipients, {b"250 2.1.5", b"452 4.5.3"}),
    "nested parts": (content(HEADER, DEEP * 1_000, b"60"), {b"250 2.0.0"}),
    "cyclic parts": (content(HEADER, DEEP, b"--b\r\n--b--\r\n" * 1_000, b"400"), {b"250 2.0.0"}),
}


@pytest.mark.behaviour(16)
@pytest.mark.parametrize("part", SIZES)
def test_naughty_inputs_are_answered_and_harm_nobody(process, part):
    for name, (attack, wanted) in ATTACKS.items():
        with beside(process) as watch:
            spent = [
                again(process, attack, part, wanted) for _ in watch.all_the_while(ENOUGH[part])
            ]
        judge(watch, name, spent)


@pytest.mark.behaviour(3)
@pytest.mark.full
def test_undeclared_oversize_is_answered_and_harms_nobody(process):
    """Full size only: the bound on a message is not a setting."""
    # It fills its owner's share of memory for a moment.
    neighbour, name = next(iter(NEIGHBOURS.items()))
    oversize = content(HEADER, b"\r\n", TEXT, b"1600", sender=f"anna@{name}".encode())
    with beside(process) as watch:
        spent = [
            again(process, oversize, 1, {b"552 5.3.4"}, neighbour)
            for _ in watch.all_the_while(ENOUGH[FULL])
        ]
    judge(watch, "100 MB undeclared", spent)


@pytest.mark.behaviour(7)
@pytest.mark.parametrize("part", SIZES)
def test_dripping_connections_shut_nobody_out(process, part):
    """Each says an octet now and then and never signs in; more of them than there are places."""
    waits = []
    with beside(process) as watch, ExitStack() as open_ones:
        dripping = [
            open_ones.enter_context(Raw(process.port, source=SOURCES[number % 4]))
            for number in range(1_000 // part)
        ]
        for _ in watch.all_the_while(ENOUGH[part]):
            for raw in dripping:
                drip(raw)
            began = time.monotonic()
            signed_in(process).socket.close()
            waits.append(time.monotonic() - began)
    judge(watch, f"{1_000 // part} dripping, a newcomer signs in", waits)


def again(
    process: Process, attack: Attack, part: int, wanted: set[bytes], username: str = "anna"
) -> float:
    """One attack on a connection of its own; seconds from its first octet to its last reply."""
    with signed_in(process, username=username) as raw:
        began = time.monotonic()
        assert set(attack(raw, part)) == wanted
        return time.monotonic() - began


def drip(raw: Raw) -> None:
    try:
        raw.send(b"N")
    except OSError:
        return  # it was this one's turn to go


@pytest.mark.full
def test_idle_sessions_and_large_messages_stay_in_memory(process):
    with ExitStack() as open_ones:
        for source, username in product(SOURCES * 25, NEIGHBOURS):
            open_ones.enter_context(signed_in(process, source, username))
        idle = resident(process) / 2**20
        with beside(process) as watch:
            senders = [
                open_ones.enter_context(signed_in(process, username=username))
                for username in NEIGHBOURS
            ]
            for raw, name in zip(senders, NEIGHBOURS.values(), strict=True):
                raw.begin(sender=f"anna@{name}".encode())
                raw.send(f"From: anna@{name}\r\n\r\n".encode())
            for _ in range(340):  # together below what large messages may have of memory
                for raw in senders:
                    raw.send(TEXT)
            for raw in senders:
                raw.send(b".\r\n")
            assert {raw.reply()[:3] for raw in senders} == {b"250"}
    figures = f"500 idle: {idle:.0f} MiB; 5 of 22 MB: {watch.most / 2**20:.0f} MiB"
    print(figures)
    assert idle < 200


def judge(watch: Watch, name: str, spent: list[float]) -> None:
    figures = (
        f"{name}, {len(spent)} times: {max(spent):.2f} s, {watch.growth:+.1f} MiB;"
        f" {len(watch.times)} honest messages: p95 {watch.p95 * 1000:.0f} ms"
    )
    print(figures)
    assert {reply[:3] for reply in watch.replies} == {b"250"}
    assert max(spent) < WITHIN_SECONDS
    assert watch.p95 < HONEST_SECONDS
    assert watch.growth < GROWTH_MIB
