# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivery to the mail servers of a domain: real name server, real servers on loopback."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.destinations import Facts
from relay.smtp.client import Connection
from relay.smtp.handshake import Target, Timeouts
from relay.smtp.replies import Scope, Verdict
from relay.transports import NotNow
from relay.transports.direct import BEFORE_MAIL_SECONDS, MAX_CONNECTS, Direct
from tests import build
from tests.relay.transports.network import DOMAIN, EHLO, PATIENT, network
from tests.relay.transports.test_smarthost import QUICK
from tests.testbed.dns import Failure
from tests.testbed.loop import on_both_loops, on_uvloop
from tests.testbed.smtp import Drop, FarEnd, Script, Silence


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
        # It is this machine, to which mail would come back.
        assert (await net.send(net.direct(loopback=False))).enhanced == "5.4.6"
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


@pytest.mark.behaviour(28)
@on_uvloop
async def test_mail_does_not_end_while_a_server_was_not_tried():
    script = Script(greeting="521 5.3.2 takes no mail")
    far_ends = [FarEnd(script) for _ in range(MAX_CONNECTS + 1)]
    async with network(*far_ends) as net:
        assert (await net.send()).verdict is Verdict.RETRY
        assert [each.connections for each in far_ends] == [1] * MAX_CONNECTS + [0]
    async with network(*far_ends[:MAX_CONNECTS]) as net:
        assert (await net.send()).verdict is Verdict.BOUNCED


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
