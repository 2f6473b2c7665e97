# SPDX-License-Identifier: AGPL-3.0-or-later
"""The transport's side of one SMTP connection: octets in, replies out, time limits, hanging up.

aiosmtpd gives the protocol class and the shape "one smtp_X method for each command"; `server.py`
has those. Reading, writing and timing are replaced here: aiosmtpd inspects its class for each
connection, starts a timer for each command and reads DATA line by line.
"""

from __future__ import annotations

import asyncio
import logging

from aiosmtpd.smtp import SMTP

from relay.smtp import answers, balancer
from relay.smtp.answers import Answer
from relay.smtp.crowd import Guest
from relay.smtp.intake import Content, Inbox
from relay.smtp.listener import Listener
from relay.smtp.policy import Client

# aiosmtpd's own logger writes addresses at INFO and whole messages at DEBUG.
logging.getLogger("mail.log").disabled = True

NEVER = float("inf")


class Gone(Exception):
    """The client is no longer there, or shall not be listened to any more."""


class Connection(SMTP):  # type: ignore[misc]  # aiosmtpd counts as untyped here
    """One connection, before anybody knows what is said on it."""

    def __init__(
        self, listener: Listener, loop: asyncio.AbstractEventLoop, place: Guest | None = None
    ) -> None:
        """`place` has been counted until now, and knows whose connection this is."""
        # Not SMTP.__init__: it walks all members of the class, for every connection.
        asyncio.StreamReaderProtocol.__init__(self, None, None, loop)  # type: ignore[arg-type] # set when it is made
        self.loop = loop
        self.listener = listener
        self.limits = listener.limits
        self.client = Client(place.client.address if place else "")
        self._place = place
        self.transport: asyncio.Transport | None = None
        self.deadline = NEVER  # on the listener's monotonic clock
        self._inbox = Inbox()
        self._content: Content | None = None
        self._content_began = 0.0
        self.storing = False
        self._replies: list[bytes] = []
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._ended = self._hung_up = False
        self._began = listener.clock()

    async def _handle_client(self) -> None:
        raise NotImplementedError

    # The transport's side

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client connected."""
        self._adopt(transport)
        if self._place is None:
            peer = transport.get_extra_info("peername")
            self.client.address = peer[0] if isinstance(peer, tuple) else ""
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def _adopt(self, transport: asyncio.Transport) -> None:
        """Talk over `transport` from now on, and know how it is secured."""
        self.transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            cipher = tls.cipher()
            self.client.tls_version = tls.version() or ""
            self.client.tls_cipher = cipher[0] if cipher else ""

    def data_received(self, data: bytes) -> None:
        """Octets came; reading pauses while more wait than anybody has use for."""
        self._inbox.feed(data)
        transport = self.transport
        if transport and not transport.is_closing():
            if self.says_too_much():
                return transport.abort()
            if len(self._inbox) > self.limits.unread:
                transport.pause_reading()
        return self._wake()

    def says_too_much(self) -> bool:
        """Whether a stranger goes on and on while it is to wait; no command needs that."""
        return (
            not self.client.identity
            and self._arrival is None
            and len(self._inbox) > self.limits.unread_unknown
        )

    def eof_received(self) -> bool:
        """The client will send no more; what it sent before is still answered."""
        self._ended = True
        self._wake()
        return not self.client.tls_version  # a TLS transport cannot stay half open

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; a message that is being stored is stored nevertheless."""
        self._ended = True
        self.transport = None
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read its replies."""
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # The listener's side

    def overdue(self, now: float) -> Answer | None:
        """What to say to a client that takes too long at `now`, on the listener's clock."""
        if self.deadline == NEVER or (self._arrival is not None and self._arrival.done()):
            return None  # the client waits for this side, or has just sent something
        if now > self.deadline:
            return answers.IDLE
        if now - self._began > self.limits.session:
            return answers.SESSION_OVER
        if not self.client.identity and now - self._began > self.limits.unknown:
            return answers.NOBODY
        if self._content is None:
            return None
        spent = now - self._content_began
        due = (spent - self.limits.content_grace) * self.limits.byte_rate
        late = spent > self.limits.content_time or self._content.received < due
        return answers.TOO_SLOW if late else None

    def close_with(self, answer: Answer) -> None:
        """Say a last word and hang up, from outside the conversation."""
        self._replies.append(self.listener.wire(answer))
        self._ended = self._hung_up = True
        self._hang_up()
        self._wake()

    def _hang_up(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._writable is not None:
            self.transport.abort()  # a client that reads nothing would keep the connection for ever
        else:
            self.transport.write(b"".join(self._replies))
            self.transport.close()
            if self.transport.get_write_buffer_size():
                self.loop.call_later(self.limits.goodbye, self.transport.abort)
        self._replies.clear()

    @property
    def interruptible(self) -> bool:
        """Whether the client waits for nothing: neither 354 nor another reply is outstanding."""
        return self._content is None and self._arrival is not None

    # Who it is

    async def _enter(self) -> Answer | None:
        """Take a place among the connections; a refusal when there is none. Raises Gone."""
        if self._place is not None:
            self.listener.left(self._place)
            self._place = None
        elif self.listener.is_balancer(self.client.address):
            await self._learn_origin()
        return self.listener.admit(self)

    async def _learn_origin(self) -> None:
        """Read whose connection a balancer passes on. Raises Gone when it does not say."""
        octets = self._inbox.take()
        try:
            async with asyncio.timeout(self.limits.origin):
                while balancer.missing(octets):
                    await self._arrive(self.limits.origin)
                    octets += self._inbox.take()
            self.client.address, following = balancer.read(octets)
        except (balancer.Malformed, TimeoutError):
            raise Gone from None
        self._inbox.feed(following)

    # Reading and writing

    async def _arrive(self, patience: float) -> None:
        """Send what is due and wait for octets, at most `patience` seconds. Raises Gone."""
        await self._flush()
        if self._ended or self.transport is None or self.transport.is_closing():
            raise Gone
        if not self.transport.is_reading():
            self.transport.resume_reading()
        self.deadline = self.listener.clock() + patience
        self._arrival = self.loop.create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None
            self.deadline = NEVER

    async def _line(self, limit: int) -> bytes:
        # One limit for the whole line: octets that trickle in do not renew it.
        until = self.listener.clock() + self.limits.idle
        while True:
            if self._hung_up:
                raise Gone
            if self.listener.stopping:
                self._say(answers.STOPPING)
                raise Gone
            line = self._inbox.line(limit)
            if line is not None:
                return line
            await self._arrive(until - self.listener.clock())

    def _say(self, answer: Answer) -> None:
        self._replies.append(self.listener.wire(answer))
        if answer.closes:
            raise Gone

    async def _flush(self) -> None:
        if self._replies and self.transport is not None:
            self.transport.write(b"".join(self._replies))
        self._replies.clear()
        if self._writable is not None:
            self.deadline = self.listener.clock() + self.limits.idle
            await self._writable
            self.deadline = NEVER
