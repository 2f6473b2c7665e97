# SPDX-License-Identifier: AGPL-3.0-or-later
"""A client connected to a scripted server, and what became of what it sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest

from relay.smtp.client import Connection
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Target, Timeouts
from relay.smtp.replies import Outcome, Verdict
from relay.smtp.tls import TlsPolicy, make_contexts
from tests.testbed.smtp import FarEnd, Script

CONTEXTS = make_contexts()
CONTENT = b"From: hej@kunde.example\r\nSubject: Faktura\r\n\r\nHej\r\n.\r\n..\r\nslut\r\n"
QUICK = Timeouts(command=0.4, data=0.4, block=0.4, dot=0.4, goodbye=0.2, reused=0.3)
DELIVERED, RETRY, BOUNCED = Verdict


def envelope(*addresses: str, sender: str = "hej@kunde.example", **more) -> Envelope:
    addresses = addresses or ("erik@modtager.example",)
    return Envelope(sender, tuple(Recipient(address) for address in addresses), **more)


async def nothing(taken: Sequence[int]) -> None:
    pass


@asynccontextmanager
async def connected(far_end: FarEnd, timeouts: Timeouts = QUICK):
    async with far_end:
        target = Target(
            host="localhost", address="127.0.0.1", port=far_end.port, tls=TlsPolicy.NONE
        )
        connection = await Connection.open(
            target, ehlo_name="mail.brevdue.example", contexts=CONTEXTS, timeouts=timeouts
        )
        try:
            yield connection
        finally:
            await connection.close()


async def send(script: Script, the_envelope: Envelope, content: bytes = CONTENT):
    """One message on a fresh connection: its outcomes, the server, and each mark's moment."""
    far_end, dots = FarEnd(script), []

    async def on_dot(taken: Sequence[int]) -> None:
        dots.append(len(far_end.ledger))

    async with connected(far_end) as connection:
        outcomes = decided(await connection.send(the_envelope, content, on_dot))
    return outcomes, far_end, dots


def decided(outcomes: list[Outcome | None]) -> list[Outcome]:
    """Return the outcomes of a transaction that took every recipient."""
    assert None not in outcomes
    return [outcome for outcome in outcomes if outcome]


def verdicts(outcomes: Sequence[Outcome | None]) -> list[Verdict | None]:
    return [outcome.verdict if outcome else None for outcome in outcomes]


STEPWISE = ("8BITMIME", "SMTPUTF8", "SIZE 100000")
both_ways = pytest.mark.parametrize("features", [("PIPELINING", *STEPWISE), STEPWISE])
