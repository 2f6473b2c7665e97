# SPDX-License-Identifier: AGPL-3.0-or-later
"""The first ledger: a client that submits each message until it is answered 250, as queues do."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.rig.service import DOMAIN, SignIn

REPLY_SECONDS = 40.0
GIVE_UP_SECONDS = 300.0
SENDER = f"hej@{DOMAIN}"
RECIPIENT = "erik@modtager.example"


class Refused(Exception):
    """A reply that is not the one hoped for; `code` 0 when the connection broke instead."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


@dataclass(slots=True)
class Ledger:
    """What was submitted and what became of it, by Message-ID."""

    submitted: dict[str, bytes] = field(default_factory=dict)
    accepted_at: dict[str, float] = field(default_factory=dict)
    # Tries whose dot was sent and that got no 250: each may have left a copy behind.
    uncertain: Counter[str] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    retries: int = 0


def compose(mark: str, chance: random.Random) -> bytes:
    """A message with everything that careless code alters: dots, 8-bit, long and empty lines."""
    head = (
        f"From: Hej <{SENDER}>\r\nTo: Erik <{RECIPIENT}>\r\nSubject: Faktura\r\n"
        f"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    odd = [".", "..", ".skjult", "", " ", "Æblegrød på Bornholm", "x" * 900, "\t", "From her"]
    lines = [chance.choice(odd) + chance.choice(odd) for _ in range(chance.randrange(5, 60))]
    return (head + "\r\n".join(lines) + "\r\n").encode()


class Client:
    """Sends messages in bursts; one connection for each try."""

    def __init__(self, sign_in: SignIn, ledger: Ledger, chance: random.Random) -> None:
        self.sign_in, self.ledger, self.chance = sign_in, ledger, chance
        self.last_accepted = 0.0

    async def burst(self, name: str, messages: int) -> None:
        """Submit so many at once and return when the last is accepted."""
        async with asyncio.TaskGroup() as tries:
            for number in range(messages):
                mark = f"{name}.{number}@{DOMAIN}"
                self.ledger.submitted[mark] = compose(mark, self.chance)
                tries.create_task(self._until_accepted(mark))

    async def _until_accepted(self, mark: str) -> None:
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    await self._submit(mark)
            except (Refused, OSError, TimeoutError, EOFError) as problem:
                self.ledger.refusals[getattr(problem, "code", 0)] += 1
                self.ledger.retries += 1
                await asyncio.sleep(0.1 + self.chance.random() * 0.4)
            else:
                self.last_accepted = self.ledger.accepted_at[mark] = time.monotonic()
                return

    async def _submit(self, mark: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.sign_in.port)
        try:
            await self._sign_in(reader, writer)
            for command in (f"MAIL FROM:<{SENDER}> BODY=8BITMIME", f"RCPT TO:<{RECIPIENT}>"):
                await _say(reader, writer, command.encode() + b"\r\n", b"250")
            await _say(reader, writer, b"DATA\r\n", b"354")
            await self._content(reader, writer, mark)
        finally:
            writer.close()

    async def _sign_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secret = f"\0{self.sign_in.username}\0{self.sign_in.password}".encode()
        await _say(reader, writer, b"", b"220")
        await _say(reader, writer, b"EHLO client.example\r\n", b"250")
        await _say(reader, writer, b"AUTH PLAIN " + base64.b64encode(secret) + b"\r\n", b"235")

    async def _content(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mark: str
    ) -> None:
        content = self.ledger.submitted[mark]
        # Transparency, RFC 5321 §4.5.2.
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        self.ledger.uncertain[mark] += 1
        await _say(reader, writer, stuffed + b".\r\n", b"250")
        self.ledger.uncertain[mark] -= 1


async def _say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, octets: bytes, expected: bytes
) -> None:
    writer.write(octets)
    line = b"   -"
    while line[3:4] == b"-":
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise Refused(0)
    if not line.startswith(expected):
        raise Refused(int(line[:3]))
