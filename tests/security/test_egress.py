# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hosts that must never be reached, by every way that leads out: no socket, one answer, one time.

What Python code of this process connects to is watched by an audit hook, which the loop of asyncio
raises for each socket; none of it leaves this machine. Two listeners stand for the engines of the
installation, on ports that a route may lead to.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Self
from uuid import uuid4

import pytest
from django.conf import settings as configured
from pytest_django.fixtures import Settings

from relay import egress, probing
from relay.egress import guard_from_settings
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Outcome, Scope, Stage, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Smarthost
from tests.testbed.dns import NameServer

ADDRESSES = """
0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 172.16.0.1 192.0.0.192 192.168.1.1 198.18.0.1 224.0.0.1 255.255.255.255
:: ::1 [::1] fe80::1 fe80::1%lo fd00:ec2::254 fec0::1 ff02::1 2001:0:4136:e378:8000:63bf:3fff:fdd2
::ffff:127.0.0.1 ::ffff:169.254.169.254 2002:7f00:1::1 2002:a9fe:a9fe::1
64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 2606:4700::5efe:127.0.0.1
2130706433 0x7f000001 0177.0.0.1 127.1 127.0.0.1. 127。0。0。1 １２７.0.0.1
8.8.4.4 ::ffff:8.8.4.4 64:ff9b::8.8.4.4
"""
NAMES = """
localhost localhost. db.internal printer.local metadata relay.brevdue.example
inner.kunde.example mapped.kunde.example half.kunde.example nat.kunde.example alias.kunde.example
ours.kunde.example none.kunde.example xn--bger-gra.kunde.example
"""
HOSTILE = (ADDRESSES + NAMES).split()
ZONE = """
inner.kunde.example. 60 IN A 10.0.0.5
mapped.kunde.example. 60 IN AAAA ::ffff:7f00:1
half.kunde.example. 60 IN A 1.1.1.1
half.kunde.example. 60 IN A 127.0.0.1
nat.kunde.example. 60 IN AAAA 64:ff9b::7f00:1
alias.kunde.example. 60 IN CNAME inner.kunde.example.
ours.kunde.example. 60 IN A 8.8.4.4
xn--bger-gra.kunde.example. 60 IN A 127.0.0.1
good.kunde.example. 60 IN A 1.1.1.1
localhost. 60 IN A 1.1.1.1
db.internal. 60 IN A 1.1.1.1
printer.local. 60 IN A 1.1.1.1
metadata. 60 IN A 1.1.1.1
relay.brevdue.example. 60 IN A 1.1.1.1
"""
CONTEXTS = make_contexts()
CONTENT = b"Subject: x\r\n\r\nx\r\n"
ENVELOPE = Envelope("hej@kunde.example", (Recipient("erik@modtager.example"),))
Way = Callable[[RouteTarget], Coroutine[Any, Any, Outcome]]


class Attempts:
    """Whom this process tried to connect to; all but loopback is refused on the spot."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] | None = None
        sys.addaudithook(self._hear)  # there is no way to take it out again

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect" or self.seen is None or not isinstance(arguments[1], tuple):
            return
        host, port = arguments[1][:2]
        self.seen.append((host, port))
        if host not in ("127.0.0.1", "::1"):
            raise ConnectionRefusedError

    @contextmanager
    def watched(self) -> Iterator[list[tuple[str, int]]]:
        self.seen = []
        try:
            yield self.seen
        finally:
            self.seen = None


ATTEMPTS = Attempts()


class Engines:
    """Two listeners on loopback, and how often anybody came."""

    def __init__(self) -> None:
        self.ports: tuple[int, ...] = ()
        self.visits = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        servers = [await asyncio.start_server(self._serve, "127.0.0.1", 0) for _ in range(2)]
        self.ports = tuple(server.sockets[0].getsockname()[1] for server in servers)
        try:
            yield self
        finally:
            for server in servers:
                server.close()


@pytest.fixture
def names(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """A name server that knows the hostile names, and settings as of a real installation."""
    # Reading the trust store takes longer than all the rest.
    monkeypatch.setattr(probing, "make_contexts", lambda _: CONTEXTS)
    with NameServer(ZONE) as server:
        settings.RELAY_RESOLVER = [server.server]
        settings.RELAY_EGRESS_LOOPBACK_PORTS = []
        settings.RELAY_HOSTNAME = "relay.brevdue.example"
        settings.RELAY_OWN_ADDRESSES = ["8.8.4.4"]
        yield server


def target(host: str, port: int) -> RouteTarget:
    return RouteTarget(route_id=uuid4(), host=host, port=port, tls=TlsPolicy.STARTTLS)


async def content() -> bytes:
    return CONTENT


async def nothing(taken: Sequence[int]) -> None:
    pass


async def by_the_page(to: RouteTarget) -> Outcome:
    """What the connection test of the page does."""
    return (await probing._probe(to)).outcome


async def by_a_shift(to: RouteTarget) -> Outcome:
    transport = Smarthost(
        ehlo_name=configured.RELAY_HOSTNAME,
        contexts=CONTEXTS,
        guard=guard_from_settings(refusal_seconds=0),
    )
    (outcome,) = await transport.send(to, ENVELOPE, content, nothing)
    await transport.close()
    assert outcome is not None
    return outcome


def refuse_in(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The guard of the page as it is, but for how long a refusal takes."""
    real = egress.guard_from_settings
    monkeypatch.setattr(
        probing, "guard_from_settings", lambda: replace(real(), refusal_seconds=seconds)
    )


def tried(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Outcome], list[float], list[tuple[str, int]], int]:
    """Outcomes, seconds that each took, connections that were tried, and visits at the engines."""

    async def timed(to: RouteTarget) -> tuple[Outcome, float]:
        began = time.monotonic()
        return await way(to), time.monotonic() - began

    async def run() -> tuple[list[tuple[Outcome, float]], int]:
        async with Engines().listening() as engines:
            monkeypatch.setattr(egress, "PORTS", egress.PORTS | set(engines.ports))
            # All at once, so that each may take its time.
            found = await asyncio.gather(
                *(
                    timed(target(host, (25, *engines.ports)[number % 3]))
                    for number, host in enumerate(HOSTILE)
                )
            )
            return found, engines.visits

    with ATTEMPTS.watched() as seen:
        found, visits = asyncio.run(run())
        resolver = int(configured.RELAY_RESOLVER[0].rpartition(":")[2])
        connected = [one for one in seen if one[1] != resolver]
    return [one for one, _ in found], [took for _, took in found], connected, visits


def test_there_are_forty_of_them_and_more() -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) >= 40


@pytest.mark.behaviour(29)
@pytest.mark.parametrize("way", [by_the_page, by_a_shift])
def test_no_hostile_host_gets_a_socket_and_all_get_one_answer(
    way: Way, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_in(monkeypatch, 0.2)
    outcomes, _, connected, visits = tried(way, monkeypatch)
    assert (connected, visits) == ([], 0)
    # Only the name that the customer has written differs.
    assert {replace(outcome, remote_host="") for outcome in outcomes} == {
        Outcome(
            verdict=Verdict.RETRY,
            scope=Scope.INFRASTRUCTURE,
            enhanced="4.4.4",
            text="this server address cannot be used",
            stage=Stage.CONNECT,
        )
    }


@pytest.mark.behaviour(29)
@pytest.mark.parametrize("seconds", [1, pytest.param(5, id="full", marks=pytest.mark.full)])
def test_no_refusal_comes_sooner_than_another(
    seconds: float, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seconds < egress.REFUSAL_SECONDS:
        refuse_in(monkeypatch, seconds)
    _, times, _, _ = tried(by_the_page, monkeypatch)
    print(f"refusals took {min(times):.2f} to {max(times):.2f} s")
    # The loop's clock has grains; what comes later waited for the processor, not for a name.
    assert min(times) > seconds - 0.02
    assert max(times) < seconds + 5


@pytest.mark.behaviour(29)
@pytest.mark.parametrize("way", [by_the_page, by_a_shift])
def test_a_public_address_is_tried_and_told_exactly(
    way: Way, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps the others from a socket is the guard: this one gets as far as the socket."""
    with ATTEMPTS.watched() as seen:
        outcome = asyncio.run(way(target("good.kunde.example", 25)))
    assert ("1.1.1.1", 25) in seen
    assert (outcome.enhanced, outcome.stage) == ("4.4.1", "connect")
    assert outcome.text != "this server address cannot be used"


class Flipping(NameServer):
    """Gives out one zone for the first question about addresses, and another from then on."""

    def __init__(self, first: str, then: str) -> None:
        super().__init__(first)
        self._then = then

    def answer(self, packet: bytes, *, over_tcp: bool) -> bytes | None:
        found = super().answer(packet, over_tcp=over_tcp)
        if ("flip.kunde.example", "A") in self.queries:
            self.load(self._then)
        return found


PUBLIC, INNER = "flip.kunde.example. 0 IN A 1.1.1.1", "flip.kunde.example. 0 IN A 127.0.0.1"


@pytest.mark.behaviour(29)
@pytest.mark.parametrize("way", [by_the_page, by_a_shift])
@pytest.mark.parametrize(
    ("first", "then", "reached"), [(PUBLIC, INNER, ["1.1.1.1"]), (INNER, PUBLIC, [])]
)
def test_a_name_that_flips_is_resolved_once_and_reached_where_it_was_checked(
    way: Way,
    first: str,
    then: str,
    reached: list[str],
    names: NameServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refuse_in(monkeypatch, 0.2)
    with Flipping(first, then) as server, ATTEMPTS.watched() as seen:
        settings.RELAY_RESOLVER = [server.server]
        asyncio.run(way(target("flip.kunde.example", 25)))
    assert [host for host, port in seen if port == 25] == reached
    assert server.queries.count(("flip.kunde.example", "A")) == 1
