# SPDX-License-Identifier: AGPL-3.0-or-later
"""Takes connections on the sockets and starts a conversation on each."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from relay.smtp.listener import Listener
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
                raw, _ = await loop.sock_accept(self._socket)
            except OSError:  # out of file descriptors, or the client is gone already
                await asyncio.sleep(0.05)
                continue
            if self._listener.crowded(len(self._handshakes) + 1):
                raw.close()  # hanging up costs less than a handshake
                continue
            task = loop.create_task(self._shake_hands(raw))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, raw: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):  # ssl.SSLError is an OSError
            await loop.connect_accepted_socket(
                lambda: Conversation(self._listener, loop),
                raw,
                ssl=self._listener.tls,
                ssl_handshake_timeout=self._listener.limits.handshake,
            )
