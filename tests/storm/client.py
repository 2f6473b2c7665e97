# SPDX-License-Identifier: AGPL-3.0-or-later
"""The first ledger: a client that submits each message until it is answered 250, as queues do."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.rig.service import SignIn

REPLY_SECONDS = 40.0
GIVE_UP_SECONDS = 300.0
MOST_RECIPIENTS = 3
# How many of ten messages have one recipient.
SINGLE = 7
HERE = "modtager.example"
# Where no mail can ever go: the DNS knows no such name, and takes no mail for it (RFC 7505).
NEVER = ("findes-ikke.example", "ingen-post.example")


class Refused(Exception):
    """A reply that is not the one hoped for; `code` 0 when the connection broke instead."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


@dataclass(frozen=True, slots=True)
class Letter:
    """One message; no address is a recipient of two of them."""

    content: bytes
    recipients: tuple[str, ...]
    sign_in: SignIn
    is_poison: bool = False

    @property
    def is_never(self) -> bool:
        """Whether it cannot arrive, and its sender has to be told that."""
        return self.recipients[0].endswith(NEVER)

    @property
    def sender(self) -> str:
        return f"hej@{self.sign_in.domain}"


@dataclass(slots=True)
class Ledger:
    """What was submitted and what became of it, by Message-ID."""

    submitted: dict[str, Letter] = field(default_factory=dict)
    accepted_at: dict[str, float] = field(default_factory=dict)
    # Tries whose dot was sent and that got no 250: each may have left a copy behind.
    uncertain: Counter[str] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    # When a connection broke that had been told to go on with the content.
    dropped: list[float] = field(default_factory=list)
    retries: int = 0


def compose(mark: str, sender: str, recipients: Sequence[str], chance: random.Random) -> bytes:
    """A message with everything that careless code alters: dots, 8-bit, long and empty lines."""
    head = (
        f"From: Hej <{sender}>\r\nTo: {', '.join(recipients)}\r\nSubject: Faktura\r\n"
        f"Date: Fri, 20 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    odd = [".", "..", ".skjult", "", " ", "Æblegrød på Bornholm", "x" * 900, "\t", "From her"]
    lines = [chance.choice(odd) + chance.choice(odd) for _ in range(chance.randrange(5, 60))]
    return (head + "\r\n".join(lines) + "\r\n").encode()


class Client:
    """Sends messages of all credentials in bursts; one connection for each try."""

    def __init__(self, sign_ins: Sequence[SignIn], ledger: Ledger, chance: random.Random) -> None:
        self.sign_ins, self.ledger, self.chance = sign_ins, ledger, chance

    async def burst(self, name: str, messages: int, seconds: float = 0.0) -> None:
        """Submit so many, spread over `seconds`; returns when the last is accepted."""
        async with asyncio.TaskGroup() as tries:
            for number in range(messages):
                tries.create_task(self.letter(f"{name}.{number}"))
                await asyncio.sleep(seconds / messages)

    async def letter(
        self, name: str, kind: str = "", sign_in: SignIn | None = None, domain: str = HERE
    ) -> str:
        """Submit one message until it is accepted; `kind` is part of its recipient's name.

        Returns its mark.
        """
        sender = sign_in or self.chance.choice(self.sign_ins)
        mark = f"{name}@{sender.domain}"
        more = self.chance.randrange(10) >= SINGLE and not kind
        count = self.chance.randint(2, MOST_RECIPIENTS) if more else 1
        recipients = tuple(f"{name}.{n}{kind}@{domain}".lower() for n in range(count))
        content = compose(mark, f"hej@{sender.domain}", recipients, self.chance)
        self.ledger.submitted[mark] = Letter(content, recipients, sender, bool(kind))
        await self._until_accepted(mark)
        return mark

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
                self.ledger.accepted_at[mark] = time.monotonic()
                return

    async def _submit(self, mark: str) -> None:
        letter = self.ledger.submitted[mark]
        reader, writer = await asyncio.open_connection("127.0.0.1", letter.sign_in.port)
        try:
            await _sign_in(reader, writer, letter.sign_in)
            await _say(reader, writer, f"MAIL FROM:<{letter.sender}> BODY=8BITMIME", b"250")
            for recipient in letter.recipients:
                await _say(reader, writer, f"RCPT TO:<{recipient}>", b"250")
            await _say(reader, writer, "DATA", b"354")
            await self._content(reader, writer, mark)
        finally:
            writer.close()

    async def _content(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mark: str
    ) -> None:
        # Transparency, RFC 5321 §4.5.2.
        stuffed = self.ledger.submitted[mark].content.replace(b"\r\n.", b"\r\n..")
        self.ledger.uncertain[mark] += 1
        try:
            writer.write(stuffed + b".\r\n")
            await _hear(reader, b"250")
        except (Refused, OSError, EOFError) as problem:
            if not getattr(problem, "code", 0):
                self.ledger.dropped.append(time.monotonic())
            raise
        self.ledger.uncertain[mark] -= 1


async def _sign_in(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sign_in: SignIn
) -> None:
    secret = base64.b64encode(f"\0{sign_in.username}\0{sign_in.password}".encode()).decode()
    await _hear(reader, b"220")
    await _say(reader, writer, "EHLO client.example", b"250")
    await _say(reader, writer, f"AUTH PLAIN {secret}", b"235")


async def _say(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, expected: bytes
) -> None:
    writer.write(line.encode() + b"\r\n")
    await _hear(reader, expected)


async def _hear(reader: asyncio.StreamReader, expected: bytes) -> None:
    line = b"   -"
    while line[3:4] == b"-":
        line = await reader.readline()
        if not line.endswith(b"\n"):
            raise Refused(0)
    if not line.startswith(expected):
        raise Refused(int(line[:3]))
