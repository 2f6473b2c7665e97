# SPDX-License-Identifier: AGPL-3.0-or-later
"""All conversations of one process: how many, how long, how much memory, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from relay.smtp import answers, networks
from relay.smtp.answers import Answer
from relay.smtp.crowd import Crowd, Guest
from relay.smtp.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one process. Times in seconds, sizes in octets."""

    size: int = 26_214_400  # of one message
    kept: int = 26_214_400  # of it, in memory; what comes after is read, and dropped
    # Of all messages that are arriving or waiting to be stored. The one that is being written, or
    # looked through, takes about five times its size on top: sealed, and copied by the driver. A
    # quarter is the most that one owner has, or one message.
    memory: int = 134_217_728
    small: int = 1_048_576  # messages up to this have the last eighth of memory to themselves
    command: int = 4_096  # RFC 5321 §4.5.3.1.4 asks for 512; SMTPUTF8, ENVID and ORCPT add to it
    sign_in_line: int = 12_288  # RFC 4954 §4
    unread: int = 65_536  # of one connection, before reading pauses
    unread_unknown: int = 16_384  # likewise, of who has not signed in: then it is hung up on
    recipients: int = 100  # RFC 5321 §4.5.3.1.8 asks for 100 or more
    messages: int = 10_000  # begun on one connection (RFC 9422 §4.1)
    in_vain: int = 2_000  # cost of commands before the next message that is taken: session.Cost
    sign_ins: int = 3  # failed ones on one connection
    sign_in_delay: float = 1.0  # after the first failure, doubled after each further one
    connections: int = 1_000
    connections_per_address: int = 512
    # What an address counts as: one host may have many.
    network: Callable[[str], str] = str
    idle: float = 300.0  # RFC 5321 §4.5.3.2.7
    origin: float = 5.0  # for a balancer's word about who connected
    handshake: float = 30.0
    goodbye: float = 5.0  # for the end of TLS, and for a last word to be read
    content_silence: float = 180.0  # RFC 5321 §4.5.3.2.5
    content_time: float = 1_800.0  # of one DATA from 354 to its end
    content_grace: float = 60.0  # before the byte rate counts
    byte_rate: int = 512  # octets per second of DATA on the average
    unknown: float = 300.0  # of a connection on which nobody has signed in
    session: float = 14_400.0  # of any connection
    storing: float = 120.0


class Acceptor(Protocol):
    """What takes connections on one socket."""

    def close(self) -> None:
        """Take no new connection."""


class Listener:
    """Shared by all conversations of a process; `policy` and `clock` are injected."""

    is_open: ClassVar[bool] = False

    def __init__(
        self,
        *,
        hostname: str,
        policy: Policy,
        tls: ssl.SSLContext | None,
        limits: Limits | None = None,
        help_url: str = "",
        plaintext_sign_in: bool = False,
        balancers: Iterable[networks.Network] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hostname = hostname
        self.own_name = hostname.encode()
        self.policy = policy
        self.tls = tls
        self.limits = limits or Limits()
        self.plaintext_sign_in = plaintext_sign_in
        self.clock = clock
        self.stopping = False
        self.held = 0  # octets of content in memory
        self._held_of: Counter[Hashable] = Counter()  # of each owner
        # No product and no version: neither helps an honest client.
        self.greeting = f"220 {hostname} ESMTP\r\n".encode()
        self._crowd = self._empty_crowd()
        self._balancers = tuple(balancers)
        self._help_url = help_url
        self._wire: dict[Answer, bytes] = {}
        self._servers: list[Acceptor] = []
        self._sweeper: asyncio.Task[None] | None = None

    def _empty_crowd(self) -> Crowd:
        limits = self.limits
        return Crowd(limits.connections, limits.connections_per_address, limits.network)

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

    def has_room(self, octets: int, owner: Hashable, held: int = 0) -> bool:
        """Whether `octets` more of content fit in memory, and in the share of their owner.

        `held` are those the message has already. One alone always fits in the share.
        """
        own, most = self._held_of[owner], self.limits.memory
        # However many large ones are announced, or come slowly, ordinary mail goes on.
        room = most - most // 8 if self.is_large(held + octets) else most
        return self.held + octets <= room and (own == held or own + octets <= most // 4)

    def is_large(self, octets: int) -> bool:
        """Whether a message of this size has to leave room for small ones."""
        return octets > self.limits.small

    def hold(self, octets: int, owner: Hashable) -> None:
        """Count so many octets more; fewer, where it is below zero."""
        self.held += octets
        self._held_of[owner] += octets
        if not self._held_of[owner]:
            del self._held_of[owner]

    def is_balancer(self, address: str) -> bool:
        """Whether who connects from there says in front of all for whom."""
        return bool(self._balancers) and networks.is_listed(address, self._balancers)

    @property
    def conversations(self) -> Collection[Guest]:
        """All that are open, handshakes included."""
        return self._crowd.guests.keys()

    def admit(self, guest: Guest) -> Answer | None:
        """Count a new connection; a refusal when there is no place for it."""
        return answers.STOPPING if self.stopping else self._crowd.admit(guest)

    def signed_in(self, guest: Guest, owner: Hashable) -> Answer | None:
        """It is known whose this is, and the place is theirs; a refusal when they have too many."""
        return self._crowd.signed_in(guest, owner)

    def left(self, guest: Guest) -> None:
        """A connection is over; saying so twice does no harm."""
        self._crowd.left(guest)

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


class OpenListener(Listener):
    """For everybody: nobody signs in, and what comes is read here, so its form is not judged."""

    is_open = True


_FIXED = frozenset(value for value in vars(answers).values() if isinstance(value, Answer))
