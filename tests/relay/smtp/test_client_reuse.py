# SPDX-License-Identifier: AGPL-3.0-or-later
"""One connection for many messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from relay.smtp.transaction import Stale
from tests.relay.smtp.sending import (
    CONTENT,
    DELIVERED,
    RETRY,
    both_ways,
    connected,
    envelope,
    nothing,
    verdicts,
)
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Silence


@on_both_loops
async def test_many_messages_share_a_connection_without_rset():
    far_end = FarEnd()
    async with connected(far_end) as connection:
        for _ in range(5):
            assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [DELIVERED]
    assert len(far_end.ledger) == 5
    assert far_end.connections == 1
    assert "RSET" not in far_end.commands


@both_ways
@pytest.mark.parametrize("verb", ["mail", "rset"])
@pytest.mark.parametrize("ending", [Drop(), "421 4.4.2 idle for too long", Silence()])
@on_both_loops
@pytest.mark.behaviour(35)
async def test_half_dead_reused_connection_is_stale(features, verb, ending):
    first = "451 4.3.0 no" if verb == "rset" else "250 ok"
    script = Script(features=features, mail=[first, ending], rset=ending)
    far_end, dots = FarEnd(script), []

    async def on_dot(taken: Sequence[int]) -> None:
        dots.append(1)

    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        with pytest.raises(Stale):
            await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
    assert dots == []


@on_both_loops
async def test_reused_connection_that_ends_later_is_not_stale():
    far_end = FarEnd(Script(rcpt=["250 ok", Drop()]))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [RETRY]


@on_both_loops
async def test_words_out_of_turn_make_a_connection_unusable():
    far_end = FarEnd(Script(after=Raw(b"250 2.0.0 and another thing\r\n")))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        await asyncio.sleep(0.05)
        assert not connection.usable


@on_both_loops
async def test_flood_out_of_turn_is_cut_off():
    far_end = FarEnd(Script(after=Raw(b"250 2.0.0 and another thing\r\n" * 20_000)))
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        for _ in range(100):
            if connection._session.wire.ended:
                break
            await asyncio.sleep(0.01)
        assert connection._session.wire.ended == "the remote sends without being asked"


@both_ways
@on_both_loops
async def test_refused_reset_ends_the_connection(features):
    script = Script(features=features, mail=["451 4.3.0 no", "250 ok"], rset="500 5.5.1 what")
    far_end = FarEnd(script)
    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, nothing)
        assert verdicts(await connection.send(envelope(), CONTENT, nothing)) == [RETRY]
        assert not connection.usable
    assert far_end.ledger == []
