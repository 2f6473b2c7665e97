# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where TLS is required, nothing that matters travels without it: read off the line by a proxy."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest

from relay.egress import Guard
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Timeouts
from relay.smtp.replies import Outcome, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Smarthost
from tests.testbed.certificates import Authority
from tests.testbed.proxy import PLAIN, Course, Proxy, Way
from tests.testbed.smtp import FarEnd, Raw, Script

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

USER, SECRET = "brevdue-bruger", "hemmelig-42-nok"
MARK, SENDER, RECIPIENT = b"Grus og guld 7193", "hej@kunde.example", "erik@modtager.example"
CONTENT = b"Subject: x\r\n\r\n" + MARK + b"\r\n"
ENVELOPE = Envelope(SENDER, (Recipient(RECIPIENT),))
QUICK = Timeouts(connect=2, tls=2, greeting=2, command=2, data=2, dot=2, goodbye=0.2)
# In every form in which they could travel.
TELLTALE = tuple(
    form
    for word in (USER.encode(), SECRET.encode(), f"\0{USER}\0{SECRET}".encode())
    for form in (word, b64encode(word).rstrip(b"="))
) + (MARK, SENDER.encode(), RECIPIENT.encode())


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with the server, or with the line to it."""

    certificate: Callable[[Authority, Authority], ssl.SSLContext] | None
    script: Script
    course: Course = PLAIN


def valid(known: Authority, stranger: Authority) -> ssl.SSLContext:
    return known.server("localhost")


def old(known: Authority, stranger: Authority) -> ssl.SSLContext:
    context = valid(known, stranger)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def flaw(
    certificate: Callable[[Authority, Authority], ssl.SSLContext] | None = valid,
    course: Course = PLAIN,
    **script: object,
) -> Flaw:
    return Flaw(certificate, Script(**script), course)  # type: ignore[arg-type] # of the testbed


FLAWS = {
    "no TLS at all": flaw(None),
    "STARTTLS taken out on the line": flaw(course=Course(hides=b"STARTTLS")),
    "STARTTLS refused": flaw(starttls="454 4.7.0 not today"),
    "STARTTLS answered by closing": flaw(starttls=Raw(b"220 go\r\n", drop=True)),
    "words slipped in after STARTTLS": flaw(starttls=Raw(b"220 go\r\n250 far.example\r\n")),
    "expired": flaw(lambda known, _: known.expired("localhost")),
    "wrong name": flaw(lambda known, _: known.server("elsewhere.example")),
    "self-signed": flaw(lambda _, stranger: stranger.server("localhost")),
    "TLS 1.1": flaw(old),
}


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """One that is trusted, and a stranger."""
    return Authority(tmp_path_factory.mktemp("known")), Authority(tmp_path_factory.mktemp("other"))


def own(security: TlsPolicy, user: str = USER) -> RouteTarget:
    return RouteTarget(
        route_id=uuid4(),
        host="localhost",
        port=0,
        tls=security,
        username=user,
        password=SECRET if user else "",
    )


REQUIRED = {
    "STARTTLS": own(TlsPolicy.STARTTLS),
    "TLS from the first byte": own(TlsPolicy.IMPLICIT),
    "by the message": own(TlsPolicy.NONE, "").demanding_tls(),
    "by the message, offered": own(TlsPolicy.OPPORTUNISTIC, "").demanding_tls(),
    "credentials": own(TlsPolicy.OPPORTUNISTIC),
}

CASES = [
    (asked, name)
    for asked, to in REQUIRED.items()
    for name, found in FLAWS.items()
    # Where TLS comes first, STARTTLS has no part in it.
    if to.tls is not TlsPolicy.IMPLICIT or found.certificate is not valid
]


async def content() -> bytes:
    return CONTENT


async def nothing(taken: Sequence[int]) -> None:
    pass


async def send(
    to: RouteTarget, found: Flaw, authorities: tuple[Authority, Authority]
) -> tuple[Outcome, FarEnd, Proxy]:
    known, _ = authorities
    tls = found.certificate(*authorities) if found.certificate else None
    implicit = to.tls is TlsPolicy.IMPLICIT and tls is not None
    far_end = FarEnd(found.script, tls, implicit=implicit)
    async with far_end, Proxy(far_end.port, found.course, listens=True) as proxy:
        transport = Smarthost(
            ehlo_name="relay.brevdue.example",
            contexts=make_contexts(str(known.ca_file)),
            guard=guard(proxy.port),
            timeouts=QUICK,
        )
        (outcome,) = await transport.send(at(to, proxy.port), ENVELOPE, content, nothing)
        await transport.close()
    assert outcome is not None
    return outcome, far_end, proxy


def guard(port: int) -> Guard:
    async def lookup(name: str) -> list[str]:
        return ["127.0.0.1"]

    return Guard(lookup=lookup, loopback_ports=frozenset({port}), refusal_seconds=0)


def at(to: RouteTarget, port: int) -> RouteTarget:
    return RouteTarget(
        route_id=to.route_id,
        host=to.host,
        port=port,
        tls=to.tls,
        username=to.username,
        password=to.password,
        is_demanded=to.is_demanded,
    )


def on_the_line(proxy: Proxy) -> list[bytes]:
    """Which of the telltale words somebody could have read."""
    seen = bytes(proxy.seen[Way.UP] + proxy.seen[Way.DOWN])
    return [word for word in TELLTALE if word in seen]


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(("asked", "name"), CASES)
def test_where_tls_is_required_nothing_travels_without_it(
    asked: str, name: str, authorities: tuple[Authority, Authority]
) -> None:
    outcome, far_end, proxy = asyncio.run(send(REQUIRED[asked], FLAWS[name], authorities))
    assert outcome.verdict is Verdict.RETRY
    assert outcome.tls_result in ("not_offered", "failed")
    assert on_the_line(proxy) == []
    assert far_end.ledger == []
    # Nor inside of a channel to somebody who is not who they should be.
    assert not any(line[:4] in ("AUTH", "MAIL") for line in far_end.commands)


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("asked", ["STARTTLS", "TLS from the first byte", "by the message"])
def test_with_a_good_server_the_mail_arrives_and_the_line_shows_nothing(
    asked: str, authorities: tuple[Authority, Authority]
) -> None:
    outcome, far_end, proxy = asyncio.run(send(REQUIRED[asked], flaw(), authorities))
    assert (outcome.verdict, outcome.tls_result) == (Verdict.DELIVERED, "verified")
    assert MARK in far_end.ledger[0].content
    assert on_the_line(proxy) == []


@pytest.mark.behaviour(34)
@pytest.mark.parametrize(
    ("name", "result", "is_read"),
    [
        ("no TLS at all", "not_offered", True),
        ("STARTTLS taken out on the line", "not_offered", True),
        ("STARTTLS refused", "failed", True),
        ("STARTTLS answered by closing", "failed", True),
        ("TLS 1.1", "failed", True),
        ("expired", "unverified", False),
        ("wrong name", "unverified", False),
        ("self-signed", "unverified", False),
    ],
)
def test_where_tls_is_only_wished_for_the_mail_arrives_and_its_outcome_is_true(
    name: str, result: str, is_read: bool, authorities: tuple[Authority, Authority]
) -> None:
    to = own(TlsPolicy.OPPORTUNISTIC, "")
    outcome, far_end, proxy = asyncio.run(send(to, FLAWS[name], authorities))
    assert outcome.verdict is Verdict.DELIVERED
    assert (outcome.tls_demand, outcome.tls_result, outcome.tls_verified) == ("may", result, False)
    assert bool(outcome.tls_version) is not is_read
    # What the outcome says is what the line shows.
    assert (MARK in on_the_line(proxy)) is is_read
    assert [one.tls for one in far_end.ledger] == [not is_read]
