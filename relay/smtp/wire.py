# SPDX-License-Identifier: AGPL-3.0-or-later
"""One socket to a remote server: bytes out, replies in. Knows no commands."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from relay.smtp.replies import Reply, ReplyError, ReplyReader
from relay.smtp.tls import Evidence, evidence

CHUNK = 256 * 1024


class Lost(Exception):
    """The channel ended before a reply came; the text says how."""


class Wire(asyncio.Protocol):
    """Protocol for one connection. After ``ended`` is set nothing more is sent or received."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self.ended = ""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not inherit from asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect bytes; a remote that floods is cut off."""
        try:
            self._reader.feed(data)
        except ReplyError as error:
            self.abort(str(error))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits; replies that came before remain readable."""
        self.ended = self.ended or ("connection reset" if exc else "connection closed")
        self._wake()

    def pause_writing(self) -> None:
        """Stop: the remote takes nothing at the moment."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._wake()

    # for the client

    @property
    def pending(self) -> bool:
        """Whether the remote said something that no one has asked for."""
        return self._reader.pending

    @property
    def certificate(self) -> bytes:
        """What the server showed, checked or not (DER); empty in clear."""
        channel = self._transport.get_extra_info("ssl_object") if self._transport else None
        return (channel.getpeercert(binary_form=True) or b"") if channel else b""

    def write(self, data: bytes | memoryview) -> None:
        """Queue bytes. Raises Lost when the channel has ended."""
        if self.ended or self._transport is None:
            raise Lost(self.ended)
        self._transport.write(data)

    async def write_all(self, data: bytes, block_seconds: float) -> None:
        """Send in blocks, each within the limit; stops early when the remote speaks or ends."""
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            if self.pending or self.ended:
                return
            self.write(view[start : start + CHUNK])
            if self._paused:
                await self._resumed(block_seconds)

    async def reply(self, seconds: float) -> Reply:
        """Return the next complete reply. Raises Lost, or ReplyError for anything else than one.

        The limit is for the whole reply: a remote that drips bytes gains no time.
        """
        reply = self._reader.take()
        if reply is not None:
            return reply
        timer = self._loop.call_later(seconds, self._time_out)
        try:
            while (reply := self._reader.take()) is None:
                if self.ended:
                    raise Lost(self.ended)
                await self._event()
        finally:
            timer.cancel()
        return reply

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> Evidence:
        """Negotiate TLS for this host name. Raises ssl.SSLError, OSError or Lost."""
        if self._transport is None or self.ended:
            raise Lost(self.ended)
        # RFC 3207 §4.2: what was received in clear must not be believed after the negotiation.
        self._reader = ReplyReader()
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds
        )
        if transport is None:
            raise Lost("connection closed")
        self._transport = transport
        return evidence(transport.get_extra_info("ssl_object"))

    def abort(self, reason: str) -> None:
        """Drop the connection at once."""
        self.ended = self.ended or reason
        if self._transport is not None:
            self._transport.abort()

    async def _resumed(self, seconds: float) -> None:
        timer = self._loop.call_later(seconds, self._time_out)
        try:
            while self._paused and not self.pending and not self.ended:
                await self._event()
        finally:
            timer.cancel()

    async def _event(self) -> None:
        """Wait until anything happens on the channel."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _time_out(self) -> None:
        self.abort("no reply in time")
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
