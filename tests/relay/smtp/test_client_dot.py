# SPDX-License-Identifier: AGPL-3.0-or-later
"""Around the final dot: the mark is committed after the body, and before the dot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.relay.smtp.sending import (
    BOUNCED,
    CONTENT,
    RETRY,
    connected,
    envelope,
    nothing,
    verdicts,
)
from tests.testbed.loop import on_both_loops
from tests.testbed.smtp import Drop, FarEnd, Raw, Script, Slow


@pytest.mark.parametrize(
    ("ending", "verdict", "code"),
    [
        (Drop(), RETRY, 0),
        (Drop(reset=True), RETRY, 0),
        (Raw(b"552 5.3.4 too big\r\n", drop=True), BOUNCED, 552),
        (Raw(b"451 4.3.0 disk trouble\r\n"), RETRY, 451),
        (Raw(b"250 2.0.0 already\r\n"), RETRY, 0),
    ],
)
@on_both_loops
async def test_reply_or_end_during_the_body_means_no_dot(ending, verdict, code):
    far_end, dots = FarEnd(Script(body=ending, body_bytes=10)), []

    async def on_dot(taken: Sequence[int]) -> None:
        # The mark takes a moment to commit; meanwhile the server speaks.
        await asyncio.sleep(0.1)
        dots.append(1)

    async with connected(far_end) as connection:
        outcomes = await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
    assert verdicts(outcomes) == [verdict]
    assert outcomes[0].code == code
    assert not outcomes[0].after_dot
    assert far_end.ledger == []


@on_both_loops
async def test_failing_mark_sends_no_dot_and_passes_through():
    far_end = FarEnd()

    async def on_dot(taken: Sequence[int]) -> None:
        raise RuntimeError("database gone")

    async with connected(far_end) as connection:
        with pytest.raises(RuntimeError, match="database gone"):
            await connection.send(envelope(), CONTENT, on_dot)
        assert not connection.usable
        await asyncio.sleep(0.05)
    assert far_end.ledger == []


@on_both_loops
async def test_mark_comes_after_the_body_and_before_the_dot():
    far_end, seen = FarEnd(), []

    async def on_dot(taken: Sequence[int]) -> None:
        await asyncio.sleep(0.1)
        seen.append((CONTENT[:-2].replace(b"\r\n.", b"\r\n..") in far_end.body, far_end.ledger[:]))

    async with connected(far_end) as connection:
        await connection.send(envelope(), CONTENT, on_dot)
    assert seen == [(True, [])]
    assert len(far_end.ledger) == 1


@on_both_loops
async def test_cancelling_takes_the_message_back():
    far_end = FarEnd(Script(data=Slow(0.2, "354 go")))
    async with connected(far_end) as connection:
        sending = asyncio.ensure_future(connection.send(envelope(), CONTENT, nothing))
        await asyncio.sleep(0.05)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not connection.usable
        await asyncio.sleep(0.3)
    assert far_end.ledger == []


@on_both_loops
@pytest.mark.behaviour(22)
async def test_mark_is_of_those_whom_the_server_took():
    far_end = FarEnd(Script(rcpt={"a@x.example": "550 5.1.1 no", "c@x.example": "450 4.2.0 wait"}))
    marked: list[int] = []

    async def on_dot(taken: Sequence[int]) -> None:
        marked.extend(taken)

    async with connected(far_end) as connection:
        whole = envelope("a@x.example", "b@x.example", "c@x.example", "d@x.example")
        await connection.send(whole, CONTENT, on_dot)
    assert marked == [1, 3]
