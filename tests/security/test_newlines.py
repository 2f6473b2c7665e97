# SPDX-License-Identifier: AGPL-3.0-or-later
"""Only whole messages reach the far end, whatever stands between their lines, by every route.

Both processes run: the one that takes mail in, and the one that sends it on. A provider gets a
mail in pieces: there, the ends of lines in its text are the provider's to write.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from accounts.models import Organisation
from config.stack.state import free_port
from relay import routing
from relay.models import Route
from tests import build
from tests.relay import mail
from tests.relay.process import Process, running
from tests.relay.smtp.listening import Raw
from tests.relay.stage import WAITING, route
from tests.relay.submitting import credential, domain, plain
from tests.relay.test_worker import ask_for_shifts, within, worker
from tests.security.newlines import BARE, CUTS, REFUSED, SMUGGLED, STUFFED, send
from tests.testbed import esp
from tests.testbed.certificates import Authority
from tests.testbed.dns import NameServer
from tests.testbed.smtp import FarEnd, threaded

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = ("own", "direct", "esp")
SPOKEN = {"EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"}
TEXT = b"first\r\n"
CONTROL = b"control\r\n"
Arrived = list[tuple[str, str, bytes]]  # subject, recipient, text


@dataclass
class World:
    """Where each kind of route leads, and how the processes are told of it."""

    servers: Mapping[str, FarEnd]
    api: esp.Api
    settings: dict[str, str]
    expected: dict[str, Arrived] = field(default_factory=dict)


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A customer's own server, the server that the DNS names, and a provider."""
    port = free_port()
    zone = "direct.example. 60 IN MX 10 mx.direct.example.\nmx.direct.example. 60 IN A 127.0.0.2"
    with (
        threaded(FarEnd()) as own,
        threaded(FarEnd(address="127.0.0.2", port=port)) as direct,
        NameServer(zone) as dns,
        esp.Api() as api,
    ):
        told = {
            "RELAY_ALLOW_PLAINTEXT_AUTH": "true",
            "RELAY_RESOLVER": dns.server,
            "RELAY_EGRESS_LOOPBACK_PORTS": f"{own.port},{port}",
            "RELAY_DIRECT": "true",
            "RELAY_DIRECT_PORT": str(port),
            "RELAY_DIRECT_CONNECTIONS": "1",
            "RELAY_ESP_URLS": f"brevo={api.urls['brevo']}",
        }
        yield World({"own": own, "direct": direct}, api, told)


def sends(kind: str, around: World) -> None:
    """Make an organisation that sends by one kind of route."""
    house = mail.organisation(f"{kind} ApS")
    domain(house, f"{kind}.firma.example")
    credential(house, kind, rate_per_minute=100_000)
    route(house, kind=kind, **_leading(kind, house, around))


def _leading(kind: str, house: Organisation, around: World) -> dict[str, Any]:
    if kind == "own":
        # One after the other, so that the octets of one mail lie behind those of another.
        return {"port": around.servers["own"].port, "concurrency": 1}
    if kind == "direct":
        return {"host": "", "port": 25, "security": Route.Security.OPPORTUNISTIC}
    with build.as_owner():
        sealed = routing.seal_secret(house.id, esp.KEY)
    return {"host": "", "provider": "brevo", "sealed_secret": sealed}


@dataclass
class Talk:
    """Submits the mails of one organisation, and notes which of them have to arrive."""

    kind: str
    port: int
    cuts: Iterator[str]
    expected: Arrived = field(default_factory=list)
    number: int = 0

    def all(self, place: str) -> None:
        """Submit every variant, each on a connection of its own and a control mail behind it."""
        for end in REFUSED.values():
            self._try(self._false_end(end, place), b"554 5.6.0 ")
        for sent, kept in STUFFED if place == "text" else ():
            before = self._header() + b"\r\n" + TEXT
            self.expect(TEXT + kept)
            self._try((before + sent + b".\r\n", len(before) + 1), b"250 ")

    def _false_end(self, end: bytes, place: str) -> tuple[bytes, int]:
        gap = b"\r\nfirst" if place == "text" else b"X-Note: first"
        before = self._header() + gap
        return before + end + SMUGGLED + b"\r\n.\r\n", len(before) + len(end) // 2

    def _try(self, message: tuple[bytes, int], answer: bytes) -> None:
        with Raw(self.port) as client:
            client.sign_in(plain(self.kind))
            self._begin(client)
            send(client, *message, next(self.cuts))
            assert client.reply().startswith(answer), message
            self.number += 1
            self._begin(client)
            self.expect(CONTROL)
            client.send(self._header() + b"\r\n" + CONTROL + b".\r\n")
            assert client.reply().startswith(b"250 ")
        self.number += 1

    def _begin(self, client: Raw) -> None:
        sender = f"anna@{self.kind}.firma.example"
        client.begin(self._to().encode(), sender=sender.encode())

    def _header(self) -> bytes:
        lines = (
            f"From: anna@{self.kind}.firma.example",
            f"To: {self._to()}",
            f"Subject: {self._subject()}",
        )
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _to(self) -> str:
        return f"erik@{self.kind}.example"

    def _subject(self) -> str:
        return f"{self.kind} {self.number}"

    def expect(self, text: bytes) -> None:
        self.expected.append((self._subject(), self._to(), text))


def by_smtp(far_end: FarEnd) -> Arrived:
    """What a server took: nothing said to it was no command, and no end of a line half of one."""
    assert {line.partition(" ")[0] for line in far_end.commands} <= SPOKEN
    assert len(far_end.ledger) == far_end.commands.count("DATA")
    assert BARE.search(far_end.body) is None
    return [_read(one.content, one.recipients) for one in far_end.ledger]


def _read(content: bytes, recipients: list[str]) -> tuple[str, str, bytes]:
    header, _, text = content.partition(b"\r\n\r\n")
    (subject,) = [
        line.removeprefix(b"Subject: ")
        for line in header.split(b"\r\n")
        if line.startswith(b"Subject: ")
    ]
    return subject.decode(), ",".join(recipients), text


def by_provider(api: esp.Api) -> Arrived:
    """What a provider took; no field of a header ends a line."""
    for one in api.ledger:
        fields = (one.sender, one.subject, *one.to, *one.cc, *one.fields, *one.fields.values())
        assert not any(BARE.search(each.encode()) or "\n" in each for each in fields)
        assert not set(one.text) & {"\r", "\0"}
    return [
        (one.subject, ",".join(one.to + one.cc), one.text.replace("\n", "\r\n").encode())
        for one in api.ledger
    ]


def run(tmp_path: Path, cuts: Callable[[], Iterator[str]], place: str) -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
    with world() as around:
        for kind in KINDS:
            sends(kind, around)
        process = Process(Authority(tmp_path), tmp_path, **around.settings)
        with (
            worker(around.servers["own"].port, tmp_path / "log", **around.settings),
            running(process),
        ):
            ask_for_shifts(2)
            talks = [Talk(kind, process.port, cuts()) for kind in KINDS]
            for talk in talks:
                talk.all(place)
            within(60, lambda: mail.value(WAITING) == 0)
    found = {kind: by_smtp(far_end) for kind, far_end in around.servers.items()}
    found["esp"] = by_provider(around.api)
    for talk in talks:
        assert sorted(found[talk.kind]) == sorted(talk.expected)
    assert mail.rows("SELECT DISTINCT state, possible_duplicate FROM relay_delivery") == [
        ("delivered", False)
    ]


@pytest.mark.behaviour(2)
@pytest.mark.behaviour(38)
def test_refused_mail_reaches_nobody_and_the_rest_arrives_once(tmp_path: Path) -> None:
    run(tmp_path, lambda: itertools.cycle(CUTS), "text")


@pytest.mark.full
@pytest.mark.parametrize("place", ["text", "header"])
@pytest.mark.parametrize("cut", CUTS)
def test_the_same_however_it_is_cut_and_wherever_it_stands(
    tmp_path: Path, cut: str, place: str
) -> None:
    run(tmp_path, lambda: itertools.repeat(cut), place)
