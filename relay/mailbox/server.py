# SPDX-License-Identifier: AGPL-3.0-or-later
"""The development mailbox: an SMTP server on loopback that keeps whatever it is handed.

It judges nothing: any sender, recipient, user and password will do. The bytes are kept exactly,
so that it can serve as the far end's ledger in crash tests. Never for production.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import cast

from relay.mailbox.maildir import Letter, Maildir

logger = logging.getLogger(__name__)

MAX_MESSAGE = 100 * 1024 * 1024
MAX_LINE = 16 * 1024
# What one client may hold in memory: a message and the commands around it.
MAX_BUFFER = MAX_MESSAGE + 1024 * 1024

_PATH = re.compile(rb"(?:FROM|TO):\s*<([^>]*)>", re.IGNORECASE)
_ENDING = b"\r\n.\r\n"


class Conversation(asyncio.Protocol):
    """One client. Commands that come together are answered together (RFC 2920)."""

    def __init__(self, maildir: Maildir, tls: ssl.SSLContext | None) -> None:
        self._maildir = maildir
        self._tls = tls
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._searched = 0
        self._encrypted = False
        self._busy = False  # a letter is being kept, or TLS is negotiated
        self._in_data = False
        self._prompts: list[bytes] = []  # what AUTH still asks for
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        # uvloop's transports do not inherit from asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 mailbox.brevdue.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Collect, and act on everything that is complete."""
        self._buffer += data
        if len(self._buffer) > MAX_BUFFER:
            self._transport.abort()
        else:
            self._go_on()

    def _go_on(self) -> None:
        replies = bytearray()
        while not self._busy:
            reply = self._take_body() if self._in_data else self._take_line()
            if reply is None:
                break
            replies += reply
        if replies:
            self._transport.write(bytes(replies))

    def _take_line(self) -> bytes | None:
        """Return the reply to the next command, None when there is none yet."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                self._transport.abort()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._prompts:
            return self._prompts.pop(0)
        command = _COMMANDS.get(line.split(b" ", 1)[0].upper(), Conversation._unknown)
        return command(self, line)

    def _take_body(self) -> bytes | None:
        """Keep the message once its final dot is there; replies when that is done."""
        end = self._end_of_body()
        if end is None:
            return None
        content = unstuff(bytes(self._buffer[:end]))
        del self._buffer[: end + 3]
        letter = Letter(self._sender or "", tuple(self._recipients), content)
        self._reset()
        self._start(self._keep(letter))
        return b""

    def _end_of_body(self) -> int | None:
        if self._buffer.startswith(b".\r\n"):
            return 0
        found = self._buffer.find(_ENDING, max(self._searched - len(_ENDING), 0))
        self._searched = len(self._buffer)
        return None if found < 0 else found + 2

    async def _keep(self, letter: Letter) -> None:
        try:
            await self._maildir.keep(letter)
        except OSError as error:
            logger.error("mail not kept: %s", error.strerror)
            self._transport.write(b"451 4.3.0 not kept, try again\r\n")
        else:
            self._transport.write(b"250 2.0.0 kept\r\n")

    async def _encrypt(self) -> None:
        assert self._tls is not None
        # RFC 3207 §4.2: nothing said in clear before is believed.
        self._buffer.clear()
        self._reset()
        loop = asyncio.get_running_loop()
        try:
            encrypted = await loop.start_tls(self._transport, self, self._tls, server_side=True)
        except OSError:  # ssl.SSLError included: the client did not like the certificate
            self._transport.abort()
            return
        if encrypted is not None:
            self._transport, self._encrypted = encrypted, True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Do the work and read on afterwards."""
        self._busy = True
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._busy = False
        self._go_on()

    def _reset(self) -> None:
        self._in_data, self._searched = False, 0
        self._sender, self._recipients = None, []

    # Commands: each returns its reply

    def _ehlo(self, line: bytes) -> bytes:
        self._reset()
        features = ["mailbox.brevdue.example", "PIPELINING", f"SIZE {MAX_MESSAGE}", "8BITMIME"]
        features += ["SMTPUTF8", "AUTH PLAIN LOGIN"]
        if self._tls and not self._encrypted:
            features.append("STARTTLS")
        lines = [f"250-{feature}\r\n" for feature in features]
        return "".join(lines).encode() + b"250 ENHANCEDSTATUSCODES\r\n"

    def _helo(self, line: bytes) -> bytes:
        self._reset()
        return b"250 mailbox.brevdue.example\r\n"

    def _starttls(self, line: bytes) -> bytes:
        if self._tls is None or self._encrypted:
            return b"502 5.5.1 no STARTTLS here\r\n"
        self._transport.write(b"220 2.0.0 go ahead\r\n")
        self._start(self._encrypt())
        return b""

    def _auth(self, line: bytes) -> bytes:
        words = line.upper().split()
        self._prompts = [b"235 2.7.0 welcome\r\n"]
        if b"LOGIN" in words[1:]:
            self._prompts.insert(0, b"334 UGFzc3dvcmQ6\r\n")
            first = b"334 VXNlcm5hbWU6\r\n"
        else:
            first = b"334 \r\n"
        return first if len(words) < 3 else self._prompts.pop(0)

    def _mail(self, line: bytes) -> bytes:
        path = _PATH.search(line)
        if path is None or self._sender is not None:
            return b"503 5.5.1 not now\r\n"
        self._sender = path[1].decode("utf-8", "surrogateescape")
        return b"250 2.1.0 ok\r\n"

    def _rcpt(self, line: bytes) -> bytes:
        path = _PATH.search(line)
        if path is None or self._sender is None:
            return b"503 5.5.1 MAIL first\r\n"
        self._recipients.append(path[1].decode("utf-8", "surrogateescape"))
        return b"250 2.1.5 ok\r\n"

    def _data(self, line: bytes) -> bytes:
        if not self._recipients:
            return b"503 5.5.1 RCPT first\r\n"
        self._in_data = True
        return b"354 end with a dot\r\n"

    def _rset(self, line: bytes) -> bytes:
        self._reset()
        return b"250 2.0.0 ok\r\n"

    def _noop(self, line: bytes) -> bytes:
        return b"250 2.0.0 ok\r\n"

    def _quit(self, line: bytes) -> bytes:
        self._transport.write(b"221 2.0.0 bye\r\n")
        self._transport.close()
        self._busy = True
        return b""

    def _unknown(self, line: bytes) -> bytes:
        return b"502 5.5.1 not known here\r\n"


_COMMANDS = {
    b"EHLO": Conversation._ehlo,
    b"HELO": Conversation._helo,
    b"STARTTLS": Conversation._starttls,
    b"AUTH": Conversation._auth,
    b"MAIL": Conversation._mail,
    b"RCPT": Conversation._rcpt,
    b"DATA": Conversation._data,
    b"RSET": Conversation._rset,
    b"NOOP": Conversation._noop,
    b"QUIT": Conversation._quit,
}


def unstuff(body: bytes) -> bytes:
    """Undo dot-stuffing: one leading dot of each line goes (RFC 5321 §4.5.2)."""
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n") if b"\r\n." in body else body


async def serve(
    maildir: Maildir, host: str, port: int, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Listen for clients and return the server."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Conversation(maildir, tls), host, port)


async def run(directory: Path, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Keep mail until SIGTERM or SIGINT."""
    maildir = Maildir(directory)
    server = await serve(maildir, host, port, tls)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    server.close()
    await maildir.finish()
