# SPDX-License-Identifier: AGPL-3.0-or-later
"""All conversations of one process: how many, how long, how much memory, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from relay.smtp import answers
from relay.smtp.answers import Answer
from relay.smtp.policy import Client, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one process. Times in seconds, sizes in octets."""

    size: int = 26_214_400  # of one message
    memory: int = 134_217_728  # of all messages that are arriving or being stored
    command: int = 4_096  # RFC 5321 §4.5.3.1.4 asks for 512; SMTPUTF8, ENVID and ORCPT add to it
    sign_in_line: int = 12_288  # RFC 4954 §4
    unread: int = 65_536  # of one connection, before reading pauses
    recipients: int = 100  # RFC 5321 §4.5.3.1.8 asks for 100 or more
    attempts: int = 1_000  # to name a recipient of one message
    messages: int = 10_000  # begun on one connection (RFC 9422 §4.1)
    errors: int = 20  # on one connection
    asides: int = 100  # commands that send no message, before the next message
    sign_ins: int = 3  # failed ones on one connection
    sign_in_delay: float = 1.0  # after the first failure, doubled after each further one
    connections: int = 1_000
    connections_per_address: int = 512
    # What an address counts as: one host may have many.
    network: Callable[[str], str] = str
    idle: float = 300.0  # RFC 5321 §4.5.3.2.7
    handshake: float = 30.0
    content_silence: float = 180.0  # RFC 5321 §4.5.3.2.5
    content_time: float = 1_800.0  # of one DATA from 354 to its end
    content_grace: float = 60.0  # before the byte rate counts
    byte_rate: int = 512  # octets per second of DATA on the average
    unknown: float = 300.0  # of a connection on which nobody has signed in
    session: float = 14_400.0  # of any connection
    storing: float = 120.0


class Guest(Protocol):
    """A conversation, as far as the listener cares."""

    client: Client

    @property
    def interruptible(self) -> bool:
        """Whether the client waits for nothing: neither 354 nor another reply is outstanding."""

    @property
    def storing(self) -> bool:
        """Whether a whole message is in other hands: it may be committed at any moment."""

    def overdue(self, now: float) -> Answer | None:
        """What to say to a client that takes too long."""

    def close_with(self, answer: Answer) -> None:
        """Say a last word and hang up."""


class Acceptor(Protocol):
    """What takes connections on one socket."""

    def close(self) -> None:
        """Take no new connection."""


class Listener:
    """Shared by all conversations of a process; `policy` and `clock` are injected."""

    def __init__(
        self,
        *,
        hostname: str,
        policy: Policy,
        tls: ssl.SSLContext | None,
        limits: Limits | None = None,
        help_url: str = "",
        plaintext_sign_in: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hostname = hostname
        self.authserv_id = hostname.encode()
        self.policy = policy
        self.tls = tls
        self.limits = limits or Limits()
        self.plaintext_sign_in = plaintext_sign_in
        self.clock = clock
        self.stopping = False
        self.held = 0  # octets of content in memory
        # No product and no version: neither helps an honest client.
        self.greeting = f"220 {hostname} ESMTP\r\n".encode()
        self.conversations: set[Guest] = set()
        self._per_network: Counter[str] = Counter()
        self._help_url = help_url
        self._wire: dict[Answer, bytes] = {}
        self._servers: list[Acceptor] = []
        self._sweeper: asyncio.Task[None] | None = None

    def wire(self, answer: Answer) -> bytes:
        """The rendered reply; fixed ones are rendered once."""
        line = self._wire.get(answer)
        if line is None:
            line = answer.line(self._help_url)
            if answer in _FIXED:
                self._wire[answer] = line
        return line

    def extensions(self, sign_in: bool, start_tls: bool) -> bytes:
        """The reply to EHLO (RFC 5321 §4.1.1.1): only what is offered at this moment."""
        limits = self.limits
        offered = [
            self.hostname,
            "PIPELINING",
            f"SIZE {limits.size}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            f"LIMITS RCPTMAX={limits.recipients} MAILMAX={limits.messages}",
            *(["STARTTLS"] if start_tls else []),
            *(["AUTH PLAIN LOGIN"] if sign_in else []),
        ]
        lines = [f"250-{line}\r\n" for line in offered]
        return ("".join(lines) + "250 ENHANCEDSTATUSCODES\r\n").encode()

    def has_room(self, octets: int) -> bool:
        """Whether `octets` more of content fit in memory."""
        return self.held + octets <= self.limits.memory

    def crowded(self, arriving: int = 0) -> bool:
        """Whether there are too many connections, `arriving` ones included."""
        return len(self.conversations) + arriving > self.limits.connections

    def admit(self, conversation: Guest) -> Answer | None:
        """Count a new connection; a refusal when there are too many."""
        network = self.limits.network(conversation.client.address)
        self.conversations.add(conversation)
        self._per_network[network] += 1
        if self.stopping:
            return answers.STOPPING
        if self.crowded():
            return answers.CROWDED
        if self._per_network[network] > self.limits.connections_per_address:
            return answers.CROWDED_ADDRESS
        return None

    def left(self, conversation: Guest) -> None:
        """A conversation is over."""
        self.conversations.discard(conversation)
        network = self.limits.network(conversation.client.address)
        self._per_network[network] -= 1
        if self._per_network[network] <= 0:
            del self._per_network[network]

    def started(self, server: Acceptor) -> None:
        """`server` takes connections for this listener from now on."""
        self._servers.append(server)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        """One timer for all connections instead of one for each command."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.idle / 4))
            now = self.clock()
            for conversation in list(self.conversations):
                answer = conversation.overdue(now)
                if answer is not None:
                    conversation.close_with(answer)

    async def stop(self, grace: float = 30.0) -> None:
        """Take no new connection, end the idle ones, let messages after 354 finish.

        `grace` is in seconds; what has not arrived then, the client sends again elsewhere. What is
        being stored has until `Limits.storing`: 421 to a message that is committed a moment later
        would bring it a second time.
        """
        self.stopping = True
        for server in self._servers:
            server.close()
        for conversation in list(self.conversations):
            if conversation.interruptible:
                conversation.close_with(answers.STOPPING)
        await self._emptied(grace, lambda conversation: True)
        for conversation in list(self.conversations):
            if not conversation.storing:
                conversation.close_with(answers.STOPPING)
        await self._emptied(self.limits.storing, lambda conversation: conversation.storing)
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper

    async def _emptied(self, seconds: float, counts: Callable[[Guest], bool]) -> None:
        """Wait until no conversation that `counts` is left, at most so many seconds."""
        deadline = self.clock() + seconds
        while any(map(counts, self.conversations)) and self.clock() < deadline:
            await asyncio.sleep(0.02)


_FIXED = frozenset(value for value in vars(answers).values() if isinstance(value, Answer))
