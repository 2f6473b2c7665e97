# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who gets a seat at a next hop, who waits and who is sent home, over real sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from relay.smtp.replies import Verdict
from relay.smtp.tls import TlsPolicy
from relay.transports import NotNow, OpenGate, Permit, RouteTarget, seats
from tests import build
from tests.relay.smtp.sending import decided
from tests.relay.transports.test_smarthost import ENVELOPE, content, nothing, smarthost, target
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Script, Silence, Slow

pytestmark = pytest.mark.behaviour(25)


class Few(OpenGate):
    """A gate with so many permits, and a rest after so many failures."""

    def __init__(self, permits: int = 100, failures: int = 100) -> None:
        self.free = permits
        self.bears = failures
        self.failures = self.successes = 0
        self.given: list[Permit] = []

    async def take(self, target: RouteTarget) -> Permit | None:
        self.free -= self.free > 0
        if not self.free:
            return None
        self.given.append(Permit())
        return self.given[-1]

    async def give(self, permit: Permit) -> None:
        self.free += 1

    async def failed(self, target: RouteTarget):
        self.failures += 1
        return build.NOW + timedelta(seconds=30) if self.failures >= self.bears else None

    async def worked(self, target: RouteTarget) -> None:
        self.successes += 1


@on_both_loops
async def test_who_waits_too_long_goes_home_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(seats, "LINE_SECONDS", 0.1)
    monkeypatch.setattr(seats, "LOOK_SECONDS", 0.05)
    async with FarEnd(Script(mail=[Silence(), "250 ok"])) as far_end:
        transport = smarthost(far_end)
        limited = target(far_end, concurrency=1)
        stuck = asyncio.create_task(transport.send(limited, ENVELOPE, content, nothing))
        while not far_end.used.get("mail"):
            await asyncio.sleep(0.01)
        with pytest.raises(NotNow) as sent_home:
            await transport.send(limited, ENVELOPE, content, nothing)
        assert (sent_home.value.reason, sent_home.value.until) == ("", None)
        # Its reply never came; whoever comes then has the seat, and a new connection.
        await stuck
        (outcome,) = decided(await transport.send(limited, ENVELOPE, content, nothing))
        assert outcome.verdict is Verdict.DELIVERED
        await transport.close()


@on_both_loops
async def test_without_a_permit_everybody_goes_home_at_once():
    async with FarEnd() as far_end:
        transport = smarthost(far_end, gate=Few(0))
        sends = [transport.send(target(far_end), ENVELOPE, content, nothing) for _ in range(5)]
        async with asyncio.timeout(seats.LINE_SECONDS):
            found = await asyncio.gather(*sends, return_exceptions=True)
        assert {type(one) for one in found} == {NotNow}
        assert far_end.connections == 0
        assert transport._hops == {}


@on_both_loops
async def test_a_seat_of_who_is_cut_off_goes_to_the_next():
    async with FarEnd() as far_end:
        limited = target(far_end, concurrency=1)
        hop = seats.Hop(OpenGate(), lambda hop: None)
        seat = await hop.take(limited)
        waiting = [asyncio.create_task(hop.take(limited)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        hop.free(seat)
        # The seat is the second's now, who has not seen it yet.
        waiting[1].cancel()
        async with asyncio.timeout(seats.LINE_SECONDS / 2):
            assert await waiting[2] is seat
        hop.free(seat)
        await hop.close()


@on_both_loops
async def test_a_rest_sends_home_who_waits_before_they_connect():
    async with FarEnd(Script(greeting=Drop())) as far_end:
        gate = Few(failures=3)
        transport = smarthost(far_end, gate=gate)
        limited = target(far_end, concurrency=1)
        sends = [transport.send(limited, ENVELOPE, content, nothing) for _ in range(20)]
        found = await asyncio.gather(*sends, return_exceptions=True)
        away = [one for one in found if isinstance(one, NotNow)]
        assert len(away) == 17
        assert {(one.reason, one.until) for one in away} == {
            ("resting", build.NOW + timedelta(seconds=30))
        }
        assert far_end.connections == 3
        await transport.close()


@pytest.mark.parametrize(
    ("script", "failures", "successes"),
    [
        (Script(greeting=Drop()), 1, 0),
        (Script(greeting="421 4.3.2 busy"), 1, 0),
        (Script(greeting="521 5.3.2 takes no mail"), 1, 0),
        (Script(ehlo="556 5.3.2 takes no mail"), 1, 0),
        (Script(mail="421 4.3.2 busy"), 1, 0),
        (Script(greeting="554 5.7.1 not you"), 0, 0),
        (Script(mail="451 4.7.1 later"), 0, 1),
        (Script(rcpt="450 4.2.1 later"), 0, 1),
        (Script(dot="452 4.3.1 later"), 0, 1),
        (Script(dot=Drop()), 0, 0),
        (Script(), 0, 1),
    ],
)
@on_both_loops
async def test_only_what_is_no_answer_to_the_message_counts_against_the_server(
    script, failures, successes
):
    async with FarEnd(script) as far_end:
        gate = Few()
        transport = smarthost(far_end, gate=gate)
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        assert (gate.failures, gate.successes) == (failures, successes)
        await transport.close()


@on_both_loops
async def test_tls_that_only_the_message_asks_for_does_not_count_against_the_server():
    async with FarEnd() as far_end:
        gate = Few()
        transport = smarthost(far_end, gate=gate)
        plain = target(far_end)
        (outcome,) = decided(
            await transport.send(plain.demanding_tls(), ENVELOPE, content, nothing)
        )
        assert (outcome.verdict, outcome.enhanced) == (Verdict.RETRY, "4.7.4")
        assert gate.failures == 0
        await transport.send(replace_tls(plain), ENVELOPE, content, nothing)
        assert gate.failures == 1
        await transport.close()


def replace_tls(plain: RouteTarget) -> RouteTarget:
    return RouteTarget(
        route_id=plain.route_id, host=plain.host, port=plain.port, tls=TlsPolicy.STARTTLS
    )


@on_both_loops
async def test_a_server_that_takes_no_more_connections_has_enough_and_does_not_rest():
    script = Script(dot=Slow(0.3, "250 ok"))
    async with FarEnd(script) as far_end:
        gate = Few()
        transport = smarthost(far_end, gate=gate)
        first = asyncio.create_task(transport.send(target(far_end), ENVELOPE, content, nothing))
        while not far_end.used.get("data"):
            await asyncio.sleep(0.01)
        script.greeting = "421 4.7.0 too many connections from you"
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        assert far_end.connections == 2
        # The others wait for the connection that there is.
        sends = [transport.send(target(far_end), ENVELOPE, content, nothing) for _ in range(3)]
        found = [decided(outcomes) for outcomes in await asyncio.gather(first, *sends)]
        assert {outcome.verdict for (outcome,) in found} == {Verdict.DELIVERED}
        assert (gate.failures, far_end.connections) == (0, 2)
        await transport.close()


@on_both_loops
async def test_the_connection_that_was_idle_longest_makes_room_for_another_route():
    async with FarEnd() as far_end:
        transport = smarthost(far_end)
        routes = [replace(target(far_end), route_id=UUID(int=number)) for number in range(3)]
        for route in routes:
            await transport.send(route, ENVELOPE, content, nothing)
        transport.let_go_oldest()
        while far_end.open == 3:
            await asyncio.sleep(0.01)
        for route in routes[1:]:
            await transport.send(route, ENVELOPE, content, nothing)
        assert far_end.connections == 3
        await transport.send(routes[0], ENVELOPE, content, nothing)
        assert far_end.connections == 4
        await transport.close()


@on_both_loops
async def test_fewer_connections_count_from_the_next_message():
    async with FarEnd(Script(dot=Slow(0.05, "250 ok"))) as far_end:
        transport = smarthost(far_end)
        many, few = target(far_end, concurrency=4), target(far_end, concurrency=1)
        await asyncio.gather(*(transport.send(many, ENVELOPE, content, nothing) for _ in range(8)))
        assert far_end.open == 4
        for _ in range(8):
            await transport.send(few, ENVELOPE, content, nothing)
        while far_end.open > 1:
            await asyncio.sleep(0.01)
        assert far_end.connections == 4
        await transport.close()


@pytest.mark.behaviour(25)
@on_both_loops
async def test_a_connection_whose_permit_is_lost_carries_no_further_message():
    async with FarEnd(Script()) as far_end:
        gate = Few()
        transport = smarthost(far_end, gate=gate)
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        gate.given[0].is_lost = True
        await transport.send(target(far_end), ENVELOPE, content, nothing)
        assert far_end.connections == 2
        await transport.close()
