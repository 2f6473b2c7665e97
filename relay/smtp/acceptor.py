# SPDX-License-Identifier: AGPL-3.0-or-later
"""Takes connections on the sockets and starts a conversation on each."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from relay.smtp import balancer
from relay.smtp.answers import Answer
from relay.smtp.listener import Listener
from relay.smtp.policy import Client
from relay.smtp.server import Conversation


async def listen(listener: Listener, sock: socket.socket, *, implicit_tls: bool = False) -> None:
    """Answer on a bound socket until `listener.stop()`."""
    loop = asyncio.get_running_loop()
    if implicit_tls:
        listener.started(_Acceptor(listener, sock))
    else:
        server = await loop.create_server(
            lambda: Conversation(listener, loop), sock=sock, backlog=512
        )
        listener.started(server)


class _Acceptor:
    """The TLS port. Accepts by hand, so that a renewed certificate and the bound on connections
    hold from the first octet; a client that says nothing during the handshake counts as well."""

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        self._listener = listener
        self._socket = sock
        self._handshakes: set[asyncio.Task[None]] = set()
        sock.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Take no new connection."""
        self._task.cancel()
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                raw, peer = await loop.sock_accept(self._socket)
            except OSError:  # out of file descriptors, or the client is gone already
                await asyncio.sleep(0.05)
                continue
            handshake = _Handshake(self._listener, raw, peer[0])
            self._handshakes.add(handshake.task)
            handshake.task.add_done_callback(self._handshakes.discard)


class _Handshake:
    """A connection before TLS: it takes a place like any other, and can say nothing."""

    interruptible, storing = True, False

    def __init__(self, listener: Listener, raw: socket.socket, address: str) -> None:
        self.client = Client(address)
        self._listener = listener
        self._raw = raw
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._run())

    def overdue(self, now: float) -> Answer | None:
        """Never: the handshake has a time limit of its own."""
        return None

    def close_with(self, answer: Answer) -> None:
        """Hang up: a word in clear would be no TLS, and a handshake costs more than it."""
        self.task.cancel()

    async def _run(self) -> None:
        try:
            if await self._enters():
                with contextlib.suppress(OSError, TimeoutError):  # ssl.SSLError is an OSError
                    await self._shake_hands()
        finally:
            self._listener.left(self)

    async def _enters(self) -> bool:
        """Learn who comes and take a place, or hang up."""
        entered = False
        try:
            with contextlib.suppress(OSError, TimeoutError, balancer.Malformed):
                if self._listener.is_balancer(self.client.address):
                    await self._learn_origin()
                entered = self._listener.admit(self) is None
        finally:
            if not entered:
                self._raw.close()
        return entered

    async def _learn_origin(self) -> None:
        """Read the balancer's header and not one octet of what follows: that is TLS."""
        octets = b""
        async with asyncio.timeout(self._listener.limits.origin):
            while wanted := balancer.missing(octets):
                arrived = await self._loop.sock_recv(self._raw, wanted)
                if not arrived:
                    raise balancer.Malformed
                octets += arrived
        self.client.address, _ = balancer.read(octets)

    async def _shake_hands(self) -> None:
        limits = self._listener.limits
        await self._loop.connect_accepted_socket(
            lambda: Conversation(self._listener, self._loop, place=self),
            self._raw,
            ssl=self._listener.tls,
            ssl_handshake_timeout=limits.handshake,
            ssl_shutdown_timeout=limits.goodbye,
        )
