# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivery to the mail servers of a domain: real name server, real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from config.stack.state import free_port
from relay.destinations import Facts
from relay.egress import Guard
from relay.resolving import Resolver
from relay.smtp import sts
from relay.smtp.client import Connection
from relay.smtp.handshake import Target, Timeouts
from relay.smtp.replies import Outcome, Scope, Verdict
from relay.smtp.tls import Contexts, TlsDemand, TlsPolicy, TlsResult, make_contexts
from relay.transports import NotNow, RouteTarget
from relay.transports.direct import BEFORE_MAIL_SECONDS, MAX_CONNECTS, Direct, World
from tests import build
from tests.relay.smtp.sending import decided
from tests.relay.transports.test_smarthost import CONTEXTS, ENVELOPE, QUICK, content, nothing
from tests.testbed.certificates import Authority
from tests.testbed.dns import Failure, NameServer
from tests.testbed.loop import on_both_loops, on_uvloop
from tests.testbed.smtp import Drop, FarEnd, Script, Silence

DOMAIN = "modtager.example"
ROUTE = UUID("019a0000-0000-7000-8000-00000000aaaa")
EHLO = "relay.brevdue.example"
# For what answers, however slowly.
PATIENT = Timeouts(greeting=20, command=20, data=20, dot=20, goodbye=0.2, reused=20)


class Known:
    """What is stored of destinations, as a test has it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def facts(self, name: str) -> Facts:
        assert name == DOMAIN
        return self._facts

    async def close(self) -> None:
        pass


class Published:
    """The policy of the domain, as a test has it."""

    def __init__(self, policy: sts.Policy | None = None) -> None:
        self._policy = policy

    async def holding(self, name: str) -> sts.Policy | None:
        return self._policy

    async def close(self) -> None:
        pass


def policy(mode: sts.Mode, *patterns: str) -> Published:
    return Published(sts.Policy(mode, patterns or ("*.modtager.example",), timedelta(days=1)))


class Net:
    """A name server and mail servers at mx2, mx3, … of the domain, by the end of their address."""

    def __init__(self, dns: NameServer, port: int) -> None:
        self.dns, self.port = dns, port
        self.transports: list[Direct] = []

    def direct(
        self,
        *,
        contexts: Contexts = CONTEXTS,
        facts: Facts | None = None,
        published: Published | None = None,
        ipv4: str = "",
        ipv6: str = "",
        timeouts: Timeouts = PATIENT,
        lifetime: float = 20,
        loopback: bool = True,
    ) -> Direct:
        resolver = Resolver([self.dns.server], lifetime=lifetime)
        guard = Guard(
            lookup=resolver.addresses,
            loopback_ports=frozenset({self.port} if loopback else ()),
            own_names=frozenset({EHLO}),
            refusal_seconds=0,
        )
        world = World(
            names=resolver,
            guard=guard,
            destinations=Known(facts or Facts()),  # type: ignore[arg-type]
            policies=published or Published(),  # type: ignore[arg-type]
            now=lambda: build.NOW,
            random=lambda: 0.5,
            ipv4=ipv4,
            ipv6=ipv6,
            port=self.port,
        )
        made = Direct(ehlo_name=EHLO, contexts=contexts, world=world, timeouts=timeouts)
        self.transports.append(made)
        return made

    async def send(self, transport: Direct | None = None, **more) -> Outcome:
        chosen = transport or self.direct()
        (outcome,) = decided(await chosen.send(target(**more), ENVELOPE, content, nothing))
        return outcome


def target(**more) -> RouteTarget:
    values = {
        "route_id": ROUTE,
        "kind": "direct",
        "destination": DOMAIN,
        "tls": TlsPolicy.OPPORTUNISTIC,
    }
    return RouteTarget(**{**values, **more})


@asynccontextmanager
async def network(*far_ends: FarEnd, zone: str = "") -> AsyncIterator[Net]:
    """Let these servers listen on 127.0.0.2 and up, at one port, preferred in this order."""
    port = free_port()
    records = [zone]
    async with AsyncExitStack() as opened:
        for number, far_end in enumerate(far_ends, 2):
            far_end.address, far_end.port = f"127.0.0.{number}", port
            await opened.enter_async_context(far_end)
            records.append(f"{DOMAIN}. 60 IN MX {number} mx{number}.{DOMAIN}.")
            records.append(f"mx{number}.{DOMAIN}. 60 IN A 127.0.0.{number}")
        net = Net(opened.enter_context(NameServer("\n".join(records))), port)
        try:
            yield net
        finally:
            await asyncio.gather(*(transport.close() for transport in net.transports))


@pytest.mark.behaviour(28)
@on_both_loops
async def test_preferred_server_gets_the_mail_and_a_connection_is_kept():
    first, second = FarEnd(), FarEnd()
    async with network(first, second) as net:
        transport = net.direct()
        for _ in range(3):
            outcome = await net.send(transport)
            assert outcome.verdict is Verdict.DELIVERED
            assert (outcome.remote_host, outcome.remote_address) == (
                "mx2.modtager.example",
                "127.0.0.2",
            )
        assert (len(first.ledger), first.connections, second.connections) == (3, 1, 0)


@pytest.mark.behaviour(33)
@pytest.mark.parametrize(
    "script",
    [
        Script(greeting=Drop()),
        Script(greeting="554 5.7.1 not you"),
        Script(greeting="421 4.3.2 busy"),
        Script(greeting="521 5.3.2 takes no mail"),
        Script(greeting="not smtp"),
        Script(ehlo="554 5.7.1 go away"),
        Script(ehlo=Drop(reset=True)),
        Script(mail="421 4.3.2 busy"),
    ],
)
@on_both_loops
async def test_next_server_is_asked_while_the_mail_is_nowhere(script):
    first, second = FarEnd(script), FarEnd()
    async with network(first, second) as net:
        outcome = await net.send()
        assert (outcome.verdict, outcome.remote_address) == (Verdict.DELIVERED, "127.0.0.3")
        assert (len(first.ledger), len(second.ledger)) == (0, 1)


@pytest.mark.behaviour(33)
@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (Script(mail="550 5.7.1 not from you"), Verdict.BOUNCED),
        (Script(mail="451 4.7.1 later"), Verdict.RETRY),
        (Script(rcpt="550 5.1.1 no such user"), Verdict.BOUNCED),
        (Script(rcpt="450 4.2.1 later"), Verdict.RETRY),
        (Script(data="451 4.3.0 later"), Verdict.RETRY),
        (Script(dot="451 4.3.0 later"), Verdict.RETRY),
        (Script(dot="554 5.6.0 no"), Verdict.BOUNCED),
        (Script(dot="421 4.3.2 busy"), Verdict.RETRY),
        (Script(dot=Drop()), Verdict.RETRY),
        (Script(dot=Silence()), Verdict.RETRY),
    ],
)
@on_uvloop
async def test_no_other_server_is_asked_once_the_sender_was_named(script, verdict):
    first, second = FarEnd(script), FarEnd()
    async with network(first, second) as net:
        is_silent = isinstance(script.dot, Silence)
        outcome = await net.send(net.direct(timeouts=QUICK if is_silent else PATIENT))
        assert outcome.verdict is verdict
        assert outcome.after_dot is (not isinstance(script.dot, str))
        assert second.connections == 0


@pytest.mark.behaviour(28)
@pytest.mark.parametrize(
    ("zone", "failure", "expected"),
    [
        ("modtager.example. 60 IN MX 0 .", None, (Verdict.BOUNCED, Scope.RECIPIENT, "5.1.10")),
        ("other.example. 60 IN A 1.1.1.1", None, (Verdict.BOUNCED, Scope.RECIPIENT, "5.1.2")),
        (
            "modtager.example. 60 IN MX 9 relay.brevdue.example.",
            None,
            (Verdict.BOUNCED, Scope.INFRASTRUCTURE, "5.4.6"),
        ),
        (
            "modtager.example. 60 IN A 127.0.0.2",
            Failure.SERVFAIL,
            (Verdict.RETRY, Scope.INFRASTRUCTURE, "4.4.3"),
        ),
        (
            "modtager.example. 60 IN A 127.0.0.2",
            Failure.TIMEOUT,
            (Verdict.RETRY, Scope.INFRASTRUCTURE, "4.4.3"),
        ),
        (
            "modtager.example. 60 IN MX 9 missing.example.",
            None,
            (Verdict.RETRY, Scope.INFRASTRUCTURE, "4.4.4"),
        ),
    ],
)
@on_uvloop
async def test_what_the_dns_says_ends_the_mail_or_lets_it_wait(zone, failure, expected):
    async with network(zone=zone) as net:
        net.dns.fail(DOMAIN, failure)
        outcome = await net.send(net.direct(lifetime=1 if failure is Failure.TIMEOUT else 20))
        assert (outcome.verdict, outcome.scope, outcome.enhanced) == expected
        assert outcome.code == 0
        assert outcome.is_hard is (expected[1] is Scope.RECIPIENT)


@pytest.mark.behaviour(28)
@on_uvloop
async def test_domain_without_mx_and_an_alias_are_reached_by_their_addresses():
    async with network(FarEnd()) as net:
        net.dns.load(f"{DOMAIN}. 60 IN A 127.0.0.2")
        assert (await net.send()).remote_host == DOMAIN
        net.dns.load(f"{DOMAIN}. 60 IN MX 1 alias.example.\nalias.example. 60 IN CNAME a.example.")
        net.dns.add("a.example. 60 IN A 127.0.0.2")
        assert (await net.send()).remote_host == "alias.example"


@pytest.mark.behaviour(31)
@on_uvloop
async def test_domain_whose_servers_all_take_no_mail_is_permanent_and_one_is_not():
    closed = Script(greeting="521 5.3.2 takes no mail")
    async with network(FarEnd(closed), FarEnd(closed)) as net:
        assert (await net.send()).verdict is Verdict.BOUNCED
    async with network(FarEnd(closed), FarEnd(Script(greeting="450 4.3.2 later"))) as net:
        assert (await net.send()).verdict is Verdict.RETRY
    async with network(FarEnd(Script(greeting="450 4.3.2 later")), FarEnd(closed)) as net:
        assert (await net.send()).verdict is Verdict.RETRY


@pytest.mark.behaviour(31)
@on_uvloop
async def test_no_mail_server_of_others_can_pause_a_route():
    for script in (Script(mail="530 5.7.0 sign in"), Script(rcpt="535 5.7.8 who are you")):
        async with network(FarEnd(script)) as net:
            outcome = await net.send()
            assert (outcome.verdict, outcome.scope) == (Verdict.RETRY, Scope.INFRASTRUCTURE)


def noting(transport: Direct) -> list[str]:
    """Return a list that every address goes to which the transport connects to."""
    reached: list[str] = []
    connect = transport._connect

    async def noted(candidate: Target, seconds: float) -> Connection:
        reached.append(candidate.address)
        return await connect(candidate, seconds)

    transport._connect = noted  # type: ignore[method-assign]
    return reached


@pytest.mark.behaviour(29)
@on_uvloop
async def test_inner_addresses_are_left_out_and_no_socket_goes_there():
    async with network(FarEnd()) as net:
        net.dns.load(f"{DOMAIN}. 60 IN MX 1 inner.example.\n{DOMAIN}. 60 IN MX 2 both.example.")
        net.dns.add("inner.example. 60 IN A 10.0.0.1\nboth.example. 60 IN A 192.168.0.1")
        net.dns.add("both.example. 60 IN A 127.0.0.2")
        transport = net.direct()
        reached = noting(transport)
        assert (await net.send(transport)).remote_address == "127.0.0.2"
        net.dns.load(f"{DOMAIN}. 60 IN MX 1 meta.example.\nmeta.example. 60 IN A 169.254.169.254")
        transport = net.direct()
        reached += noting(transport)
        outcome = await net.send(transport)
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.4.4")
        assert outcome.remote_address == ""
        assert reached == ["127.0.0.2"]


@pytest.mark.behaviour(29)
@on_uvloop
async def test_the_same_server_is_out_of_reach_where_no_setting_opens_loopback():
    far_end = FarEnd()
    async with network(far_end) as net:
        outcome = await net.send(net.direct(loopback=False))
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.4.4")
        assert far_end.connections == 0
        assert (await net.send()).verdict is Verdict.DELIVERED


@pytest.mark.behaviour(28)
@on_uvloop
async def test_so_many_servers_are_tried_and_no_more():
    numbers = range(100, 112)
    zone = [f"{DOMAIN}. 60 IN MX {n} d{n}.example." for n in numbers]
    zone += [f"d{n}.example. 60 IN A 127.0.0.{n}" for n in numbers]
    async with network(zone="\n".join(zone)) as net:
        transport = net.direct()
        reached = noting(transport)
        assert (await net.send(transport)).enhanced == "4.4.1"
        assert reached == [f"127.0.0.{n}" for n in numbers[:MAX_CONNECTS]]


@pytest.mark.behaviour(33)
def test_patience_is_at_least_what_the_standard_asks_for():
    usual = Timeouts()  # RFC 5321 §4.5.3.2
    assert (usual.greeting, usual.command, usual.data) >= (300, 300, 120)
    assert (usual.block, usual.dot) >= (180, 600)
    assert usual.greeting + usual.command <= BEFORE_MAIL_SECONDS


@pytest.mark.behaviour(30)
@on_uvloop
async def test_connections_come_from_the_address_that_is_set_and_name_this_host():
    far_end = FarEnd()
    async with network(far_end) as net:
        await net.send(net.direct(ipv4="127.0.0.9"))
        assert far_end.peers == ["127.0.0.9"]
        assert far_end.commands[0] == f"EHLO {EHLO}"


@pytest.mark.behaviour(30)
@on_uvloop
async def test_ipv6_is_used_only_with_an_address_of_our_own():
    far_end = FarEnd(address="::1")
    async with far_end, network() as net:
        net.port = far_end.port
        net.dns.load(f"{DOMAIN}. 60 IN MX 1 six.example.\nsix.example. 60 IN AAAA ::1")
        assert (await net.send()).enhanced == "4.4.4"
        assert far_end.connections == 0
        assert (await net.send(net.direct(ipv6="::1"))).verdict is Verdict.DELIVERED
        assert far_end.peers == ["::1"]


@pytest.fixture
def trusted(authority: Authority) -> Contexts:
    return make_contexts(str(authority.ca_file))


SERVER = "mx2.modtager.example"


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("kind", ["plain", "unverified", "broken", "expired"])
@on_uvloop
async def test_opportunistic_encryption_tells_the_truth(kind, authority, trusted):
    script, tls, expected = {
        "plain": (Script(), None, TlsResult.NOT_OFFERED),
        "unverified": (Script(), authority.server(SERVER), TlsResult.UNVERIFIED),
        "expired": (Script(), authority.expired(SERVER), TlsResult.UNVERIFIED),
        "broken": (
            Script(starttls="454 4.7.0 not now"),
            authority.server(SERVER),
            TlsResult.FAILED,
        ),
    }[kind]
    far_end = FarEnd(script, tls=tls)
    async with network(far_end) as net:
        outcome = await net.send(net.direct(contexts=trusted))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.MAY)
        assert outcome.tls_result == expected
        assert [message.tls for message in far_end.ledger] == [expected is TlsResult.UNVERIFIED]


@pytest.mark.behaviour(34)
@pytest.mark.parametrize("demand", [TlsDemand.MUST, TlsDemand.MESSAGE, TlsDemand.STS])
@pytest.mark.parametrize("fault", ["stripped", "expired", "wrong", "unknown", "none"])
@on_uvloop
async def test_demanded_encryption_or_nothing(demand, fault, authority, trusted, tmp_path_factory):
    tls = {
        "stripped": None,
        "expired": authority.expired(SERVER),
        "wrong": authority.server(DOMAIN),
        "unknown": Authority(tmp_path_factory.mktemp("other")).server(SERVER),
        "none": authority.server(SERVER),
    }[fault]
    far_end = FarEnd(tls=tls)
    published = policy(sts.Mode.ENFORCE) if demand is TlsDemand.STS else Published()
    asked = target(tls=TlsPolicy.STARTTLS if demand is TlsDemand.MUST else TlsPolicy.OPPORTUNISTIC)
    if demand is TlsDemand.MESSAGE:
        asked = asked.demanding_tls()
    async with network(far_end) as net:
        transport = net.direct(contexts=trusted, published=published)
        (outcome,) = decided(await transport.send(asked, ENVELOPE, content, nothing))
        assert outcome.tls_demand == demand
        if fault == "none":
            assert (outcome.verdict, outcome.tls_verified) == (Verdict.DELIVERED, True)
        else:
            assert outcome.verdict is Verdict.RETRY
            assert outcome.enhanced.startswith("4.7.")
            assert far_end.ledger == []
            assert b"MAIL" not in far_end.clear


@pytest.mark.behaviour(34)
@on_uvloop
async def test_server_that_the_policy_does_not_name_is_not_even_connected_to(authority, trusted):
    first, second = FarEnd(tls=authority.server(SERVER)), FarEnd()
    second.tls = authority.server("mx3.modtager.example")
    async with network(first, second) as net:
        named = policy(sts.Mode.ENFORCE, "mx3.modtager.example")
        outcome = await net.send(net.direct(contexts=trusted, published=named))
        assert (outcome.verdict, outcome.remote_address) == (Verdict.DELIVERED, "127.0.0.3")
        other = policy(sts.Mode.ENFORCE, "mail.other.example")
        outcome = await net.send(net.direct(contexts=trusted, published=other))
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.5")
        assert outcome.tls_demand == TlsDemand.STS
        assert first.connections == 0


@pytest.mark.behaviour(34)
@on_uvloop
async def test_testing_demands_nothing_and_a_sender_may_waive_what_the_recipient_asks():
    far_end = FarEnd()
    async with network(far_end) as net:
        outcome = await net.send(net.direct(published=policy(sts.Mode.TESTING)))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.STS_TESTING)
        outcome = await net.send(net.direct(published=policy(sts.Mode.NONE)))
        assert (outcome.verdict, outcome.tls_demand) == (Verdict.DELIVERED, TlsDemand.MAY)
        enforcing = net.direct(published=policy(sts.Mode.ENFORCE))
        assert (await net.send(enforcing)).verdict is Verdict.RETRY
        assert (await net.send(enforcing, waives=True)).verdict is Verdict.DELIVERED
        # What the route or the message demands is not the recipient's to be waived.
        strict = await net.send(enforcing, waives=True, tls=TlsPolicy.STARTTLS)
        assert strict.verdict is Verdict.RETRY


@pytest.mark.behaviour(35)
@on_uvloop
async def test_organisations_share_a_connection_but_not_one_with_less_encryption(
    authority, trusted
):
    far_end = FarEnd(tls=authority.server(SERVER))
    async with network(far_end) as net:
        transport = net.direct(contexts=trusted)
        other = UUID("019a0000-0000-7000-8000-00000000bbbb")
        await net.send(transport)
        await net.send(transport, route_id=other, version=7)
        assert far_end.connections == 1
        outcome = await net.send(transport, tls=TlsPolicy.STARTTLS)
        assert (outcome.verdict, outcome.tls_verified) == (Verdict.DELIVERED, True)
        assert far_end.connections == 2


@pytest.mark.behaviour(35)
@on_uvloop
async def test_connection_that_died_meanwhile_is_replaced():
    far_end = FarEnd(Script(mail=["250 ok", Drop(), "250 ok"]))
    async with network(far_end) as net:
        transport = net.direct()
        await net.send(transport)
        assert (await net.send(transport)).verdict is Verdict.DELIVERED
        assert (len(far_end.ledger), far_end.connections) == (2, 2)


@on_uvloop
async def test_resting_domain_is_left_alone():
    far_end = FarEnd()
    until = build.NOW + timedelta(seconds=30)
    async with network(far_end) as net:
        transport = net.direct(facts=Facts(failures=5, rest_until=until))
        with pytest.raises(NotNow) as refused:
            await net.send(transport)
        assert (refused.value.reason, refused.value.until) == ("resting", until)
        assert far_end.connections == 0
        over = Facts(failures=5, rest_until=build.NOW)
        assert (await net.send(net.direct(facts=over))).verdict is Verdict.DELIVERED
