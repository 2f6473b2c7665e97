# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pooling, concurrency and failures of the smarthost transport, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from relay.egress import Guard
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Timeouts
from relay.smtp.replies import Scope, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from relay.transports import RouteTarget
from relay.transports.smarthost import Smarthost
from tests.relay.smtp.sending import decided
from tests.testbed.certificates import Authority
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Slow

ROUTE = UUID("019a0000-0000-7000-8000-00000000aaaa")
CONTENT = b"Subject: x\r\n\r\nx\r\n"
ENVELOPE = Envelope("hej@kunde.example", (Recipient("erik@modtager.example"),))
CONTEXTS = make_contexts()
FOUR = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
QUICK = Timeouts(command=1, data=1, dot=1, greeting=1, goodbye=0.2, reused=0.5)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def guard(*far_ends: FarEnd, addresses=("127.0.0.1",)) -> Guard:
    async def lookup(name: str) -> list[str]:
        return list(addresses)

    ports = frozenset(far_end.port for far_end in far_ends)
    return Guard(lookup=lookup, loopback_ports=ports, refusal_seconds=0)


def smarthost(*far_ends: FarEnd, addresses=("127.0.0.1",), contexts=CONTEXTS, **more) -> Smarthost:
    return Smarthost(
        **{
            "ehlo_name": "mail.brevdue.example",
            "contexts": contexts,
            "guard": guard(*far_ends, addresses=addresses),
            "timeouts": QUICK,
            **more,
        }
    )


def target(far_end: FarEnd, **more) -> RouteTarget:
    return RouteTarget(
        **{
            "route_id": ROUTE,
            "host": "localhost",
            "port": far_end.port,
            "tls": TlsPolicy.NONE,
            **more,
        }
    )


async def content() -> bytes:
    return CONTENT


async def nothing(taken: Sequence[int]) -> None:
    pass


@on_both_loops
async def test_messages_share_a_connection_and_say_goodbye():
    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        for _ in range(5):
            (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
            assert outcome.verdict is Verdict.DELIVERED
        await transport.close()
        assert far_end.connections == 1
        assert far_end.commands[-1] == "QUIT"
        # What comes after closing still goes out, and keeps nothing open.
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        await transport.close()
        assert far_end.commands[-1] == "QUIT"


@on_both_loops
@pytest.mark.behaviour(35)
async def test_connection_is_left_after_a_hundred_messages_or_five_minutes():
    clock = Clock()
    async with FarEnd() as far_end:
        transport = smarthost(far_end, clock=clock)
        for _ in range(101):
            await transport.send(target(far_end), ENVELOPE, content, nothing)
        assert far_end.connections == 2
        clock.now = 301.0
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        assert far_end.connections == 3
        await transport.close()


@on_both_loops
async def test_idle_connection_is_closed(monkeypatch):
    monkeypatch.setattr("relay.transports.seats.MAX_IDLE_SECONDS", 0.05)
    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        await asyncio.sleep(0.2)
        assert far_end.commands[-1] == "QUIT"
        assert transport._hops == {}
        await transport.close()


@on_both_loops
@pytest.mark.behaviour(35)
async def test_other_credentials_never_meet_a_kept_connection():
    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        first = target(far_end)
        for other in (
            first,
            replace(first, version=1),
            replace(first, route_id=UUID(int=1)),
            replace(first, host="127.0.0.1"),
        ):
            await transport.send(other, ENVELOPE, content, nothing)
        assert far_end.connections == 4
        await transport.close()


@pytest.mark.parametrize("ending", [Drop(), "421 4.4.2 idle for too long"])
@on_both_loops
@pytest.mark.behaviour(35)
async def test_half_dead_connections_cost_no_attempt(ending):
    dots = []

    async def on_dot(taken: Sequence[int]) -> None:
        dots.append(1)

    script = Script(mail=["250 ok", "250 ok", ending, "250 ok"])
    script.dot = [Slow(0.1, "250 ok"), Slow(0.1, "250 ok"), "250 ok"]
    async with FarEnd(script) as far_end:
        transport = smarthost(far_end)
        both = [transport.send(target(far_end), ENVELOPE, content, on_dot) for _ in range(2)]
        await asyncio.gather(*both)
        (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, on_dot))
        assert outcome.verdict is Verdict.DELIVERED
        assert far_end.connections == 3
        assert len(dots) == len(far_end.ledger) == 3
        await transport.close()


@on_both_loops
async def test_connection_that_the_server_closed_is_not_offered():
    async with FarEnd(Script(after=Drop())) as far_end:
        transport = smarthost(far_end)
        for _ in range(3):
            (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
            assert outcome.verdict is Verdict.DELIVERED
        assert far_end.connections == 3
        await transport.close()


@on_both_loops
@pytest.mark.behaviour(33)
async def test_lost_after_the_dot_is_not_tried_again_here():
    async with FarEnd(Script(dot=["250 ok", Drop(), "250 ok"])) as far_end:
        transport = smarthost(far_end, addresses=("127.0.0.1", "127.0.0.2"))
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
        assert outcome.verdict is Verdict.RETRY
        assert outcome.after_dot
        assert len(far_end.ledger) == 2
        assert far_end.connections == 1
        await transport.close()


@on_both_loops
@pytest.mark.behaviour(25)
async def test_no_more_connections_than_the_route_allows():
    busiest = 0
    async with FarEnd(Script(dot=Slow(0.05, "250 ok"))) as far_end:
        transport = smarthost(far_end)
        limited = target(far_end, concurrency=3)
        sends = [transport.send(limited, ENVELOPE, content, nothing) for _ in range(12)]
        outcomes = [decided(one) for one in await asyncio.gather(*sends)]
        assert {outcome.verdict for (outcome,) in outcomes} == {Verdict.DELIVERED}
        busiest = far_end.connections
        await transport.close()
    assert busiest == 3


@on_both_loops
async def test_content_is_read_when_a_connection_is_free():
    reading = most = 0

    async def counted() -> bytes:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        return CONTENT

    async def on_dot(taken: Sequence[int]) -> None:
        nonlocal reading
        reading -= 1

    async with FarEnd(Script(dot=Slow(0.02, "250 ok"))) as far_end:
        transport = smarthost(far_end)
        limited = target(far_end, concurrency=2)
        sends = [transport.send(limited, ENVELOPE, counted, on_dot) for _ in range(8)]
        await asyncio.gather(*sends)
        await transport.close()
    assert most == 2


@on_both_loops
async def test_content_that_cannot_be_read_frees_the_slot():
    async def broken() -> bytes:
        raise RuntimeError("key gone")

    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="key gone"):
                await transport.send(target(far_end, concurrency=1), ENVELOPE, broken, nothing)
        await transport.close()
        assert transport._hops == {}


@on_both_loops
async def test_next_address_is_tried_when_the_first_does_not_answer():
    async with FarEnd(address="127.0.0.2") as far_end:
        transport = smarthost(far_end, addresses=("127.0.0.1", "127.0.0.2"))
        (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
        assert outcome.verdict is Verdict.DELIVERED
        assert outcome.remote_address == "127.0.0.2"
        await transport.close()


@on_both_loops
async def test_all_addresses_of_a_server_share_one_limit():
    script = Script(greeting=Slow(5, "220 far.example"))
    async with FarEnd(script, address="0.0.0.0") as far_end:
        transport = smarthost(far_end, addresses=FOUR, timeouts=replace(QUICK, session=0.5))
        started = asyncio.get_running_loop().time()
        (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
        assert outcome.verdict is Verdict.RETRY
        # One after the other they would take four times as long.
        assert asyncio.get_running_loop().time() - started < 1.5
        await transport.close()


@on_both_loops
async def test_refused_address_waits_and_opens_no_socket():
    async with FarEnd() as far_end:
        transport = smarthost()
        envelope = replace(ENVELOPE, recipients=ENVELOPE.recipients * 2)
        outcomes = decided(await transport.send(target(far_end), envelope, content, nothing))
        assert [o.verdict for o in outcomes] == [Verdict.RETRY, Verdict.RETRY]
        assert outcomes[0].text == "this server address cannot be used"
        assert far_end.connections == 0
        await transport.close()
        assert transport._hops == {}


@on_both_loops
async def test_wrong_password_is_tried_once_and_blamed_on_the_route(tmp_path):
    authority = Authority(tmp_path)
    script = Script(auth="535 5.7.8 wrong")
    tls = authority.server("localhost")
    async with FarEnd(script, tls=tls, address="0.0.0.0") as far_end:
        contexts = make_contexts(str(authority.ca_file))
        transport = smarthost(far_end, addresses=FOUR, contexts=contexts)
        route = target(far_end, tls=TlsPolicy.STARTTLS, username="kunde", password="forkert")
        (outcome,) = decided(await transport.send(route, ENVELOPE, content, nothing))
        assert (outcome.verdict, outcome.scope, outcome.code) == (Verdict.RETRY, Scope.ROUTE, 535)
        assert far_end.connections == 1
        assert "forkert" not in repr(route)


@on_both_loops
async def test_probe_reports_the_session_and_sends_nothing(tmp_path):
    authority = Authority(tmp_path)
    async with FarEnd(tls=authority.server("localhost")) as far_end:
        transport = smarthost(far_end, contexts=make_contexts(str(authority.ca_file)))
        route = target(far_end, tls=TlsPolicy.STARTTLS, username="kunde", password="x")
        found = await transport.probe(route)
        assert found.outcome.verdict is Verdict.DELIVERED
        assert found.outcome.tls_verified
        assert {"8BITMIME", "SMTPUTF8"} <= found.features.keywords
        assert found.certificate is not None
        assert found.certificate.names == ("localhost",)
        assert far_end.ledger == []
        asked = len(far_end.commands)
        untrusting = await smarthost(far_end).probe(route)
        assert untrusting.outcome.enhanced == "4.7.5"
        # Seen on a connection of its own, on which nobody signs in.
        assert untrusting.certificate == found.certificate
        assert not any(line.startswith("AUTH") for line in far_end.commands[asked:])


@on_both_loops
async def test_failing_mark_passes_through_and_frees_the_slot():
    async def on_dot(taken: Sequence[int]) -> None:
        raise RuntimeError("database gone")

    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="database gone"):
                await transport.send(target(far_end, concurrency=1), ENVELOPE, content, on_dot)
        await transport.close()
        assert transport._hops == {}
        assert far_end.ledger == []


@on_both_loops
async def test_server_that_speaks_nonsense_waits():
    async with FarEnd(Script(greeting=Raw(b"\x16\x03\x01 nope\r\n"))) as far_end:
        transport = smarthost(far_end)
        (outcome,) = decided(await transport.send(target(far_end), ENVELOPE, content, nothing))
        assert outcome.verdict is Verdict.RETRY


@pytest.mark.behaviour(35)
@on_both_loops
async def test_mail_on_anothers_checked_connection_is_told_of_its_own_demand(tmp_path):
    authority = Authority(tmp_path)
    async with FarEnd(tls=authority.server("localhost")) as far_end:
        transport = smarthost(far_end, contexts=make_contexts(str(authority.ca_file)))
        plain = target(far_end, tls=TlsPolicy.OPPORTUNISTIC)
        found = [
            decided(await transport.send(to, ENVELOPE, content, nothing))[0]
            for to in (plain.demanding_tls(), plain)
        ]
        assert [one.tls_demand for one in found] == ["message", "may"]
        assert [one.tls_result for one in found] == ["verified", "verified"]
        assert far_end.connections == 1
        await transport.close()
