# SPDX-License-Identifier: AGPL-3.0-or-later
"""An SMTP server that does as its script says, over real sockets, and keeps a ledger.

    async with FarEnd(Script(rcpt={"erik@modtager.example": "550 5.1.1 no such user"})) as far_end:
        ...  # connect to far_end.port
    far_end.ledger  # what arrived, byte for byte

``threaded(FarEnd(...))`` runs one beside code that is not asynchronous.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Drop:
    """Close the connection; ``reset`` discards what is on its way."""

    reset: bool = False


@dataclass(frozen=True)
class Silence:
    """Say nothing and keep the connection open."""


@dataclass(frozen=True)
class Slow:
    """Wait before the reply; with ``drip``, wait before every single byte of it."""

    seconds: float
    reply: str
    drip: bool = False


@dataclass(frozen=True)
class Raw:
    """Exactly these bytes, and perhaps the end of the connection."""

    data: bytes
    drop: bool = False


Action = str | Drop | Silence | Slow | Raw
# One action for always, a list that is used up (the last stays), or a choice by address and count.
Answer = Action | Sequence[Action] | Mapping[str, Action | Sequence[Action]] | Callable[..., Action]


@dataclass
class Script:
    """How the server behaves. A reply may hold several lines, separated by a line feed."""

    greeting: Answer = "220 far.example ESMTP"
    features: Sequence[str] = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "DSN")
    ehlo: Answer | None = None
    helo: Answer = "250 far.example"
    starttls: Answer = "220 2.0.0 go ahead"
    auth: Answer = "235 2.7.0 welcome"
    mail: Answer = "250 2.1.0 sender ok"
    rcpt: Answer = "250 2.1.5 recipient ok"
    data: Answer = "354 end with a dot"
    body: Answer | None = None  # what happens while the body comes, before the dot
    body_bytes: int = 0  # … after this many of it
    dot: Answer = "250 2.0.0 queued"
    rset: Answer = "250 2.0.0 reset"
    noop: Answer = "250 2.0.0 ok"
    quit: Answer = "221 2.0.0 bye"
    after: Answer | None = None  # said without being asked once a message has been answered
    mechanisms: str = "PLAIN LOGIN"


@dataclass
class Received:
    """One message whose final dot arrived, whatever was answered to it."""

    sender: str
    recipients: list[str]
    content: bytes
    accepted: bool
    tls: bool
    user: str
    connection: int


@dataclass
class FarEnd:
    """The server. Offers STARTTLS with ``tls``; ``implicit`` means TLS from the first byte."""

    script: Script = field(default_factory=Script)
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    address: str = "127.0.0.1"
    port: int = 0
    ledger: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)  # every line received, in order
    connections: int = 0
    peers: list[str] = field(default_factory=list)  # the address that each of them came from
    open: int = 0  # connections at this moment
    most_open: int = 0
    clear: bytearray = field(default_factory=bytearray)  # every byte received without TLS
    impatient: int = 0  # commands sent before the reply to the last, without PIPELINING
    in_transaction: list[str] = field(default_factory=list)  # recipients taken so far
    body: bytearray = field(default_factory=bytearray)  # every octet of every body, as it came
    used: dict[str, int] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        """Listen on a port of the system's choice unless one is given."""
        context = self.tls if self.implicit else None
        self._server = await asyncio.start_server(
            self._serve, self.address, self.port, ssl=context, limit=1 << 20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and drop all connections."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.peers.append(writer.get_extra_info("peername")[0])
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await _Conversation(self, reader, writer, self.connections).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.open -= 1
            writer.transport.abort()

    def choose(self, verb: str, answer: Answer, address: str = "") -> Action:
        """Pick the action for this occasion and count it."""
        if isinstance(answer, Mapping):
            verb, answer = f"{verb} {address}", answer.get(address, f"250 2.0.0 {verb} ok")
        count = self.used.get(verb, 0)
        self.used[verb] = count + 1
        if callable(answer):
            return answer(address, count)
        if isinstance(answer, (str, Drop, Silence, Slow, Raw)):
            return answer
        return answer[min(count, len(answer) - 1)]


class _End(Exception):
    pass


_PATH = re.compile(r"<(.*)>")


class _Conversation:
    def __init__(
        self,
        far_end: FarEnd,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self.far_end = far_end
        self.script = far_end.script
        self.reader = reader
        self.writer = writer
        self.number = number
        self.encrypted = far_end.implicit
        self.user = ""
        self.sender: str | None = None
        self.recipients: list[str] = []

    async def run(self) -> None:
        with contextlib.suppress(_End):
            await self.say("greeting", self.script.greeting)
            while line := await self.line():
                self.far_end.commands.append(line)
                verb = line.split(" ")[0].lower()
                await getattr(self, f"on_{verb}", self.on_unknown)(line)

    async def line(self) -> str:
        data = await self.reader.readline()
        if "PIPELINING" not in self.script.features and self.reader._buffer:  # type: ignore[attr-defined]
            self.far_end.impatient += 1
        if not self.encrypted:
            self.far_end.clear += data
        return data.decode().removesuffix("\r\n")

    async def say(self, verb: str, answer: Answer, address: str = "") -> int:
        """Act; return the code of the reply, 0 when there was none."""
        action = self.far_end.choose(verb, answer, address)
        if isinstance(action, Drop):
            if action.reset:
                self.writer.transport.abort()
            raise _End
        if isinstance(action, Silence):
            await asyncio.sleep(3600)
        if isinstance(action, Raw):
            self.writer.write(action.data)
            await self.writer.drain()
            if action.drop:
                self.writer.close()
                await self.writer.wait_closed()
                raise _End
            return 0
        if isinstance(action, Slow):
            await self.drip(action)
            return int(action.reply[:3])
        assert isinstance(action, str)
        self.writer.write(encode(action))
        await self.writer.drain()
        if action.startswith("421"):
            self.writer.close()
            raise _End
        return int(action[:3])

    async def drip(self, action: Slow) -> None:
        data = encode(action.reply)
        pieces = [data[i : i + 1] for i in range(len(data))] if action.drip else [data]
        for piece in pieces:
            await asyncio.sleep(action.seconds)
            self.writer.write(piece)

    async def on_ehlo(self, line: str) -> None:
        if self.script.ehlo is not None:
            await self.say("ehlo", self.script.ehlo)
            return
        features = ["far.example", *self.script.features]
        if self.far_end.tls and not self.encrypted:
            features.append("STARTTLS")
        elif self.script.mechanisms:
            features.append(f"AUTH {self.script.mechanisms}")
        await self.say("ehlo", "250 " + "\n".join(features))

    async def on_helo(self, line: str) -> None:
        await self.say("helo", self.script.helo)

    async def on_starttls(self, line: str) -> None:
        code = await self.say("starttls", self.script.starttls)
        if code != 220 or self.far_end.tls is None:
            return
        await self.writer.start_tls(self.far_end.tls)
        self.encrypted = True

    async def on_auth(self, line: str) -> None:
        words = line.split(" ")
        if words[1] == "LOGIN":
            for prompt in ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"):
                self.writer.write(f"334 {prompt}\r\n".encode())
                self.far_end.commands.append(await self.line())
        self.user = line
        if await self.say("auth", self.script.auth) == 334:
            self.far_end.commands.append(await self.line())
            await self.say("auth", self.script.auth)

    async def on_mail(self, line: str) -> None:
        if self.sender is not None:
            self.writer.write(b"503 5.5.1 nested MAIL\r\n")
            return
        sender = _between(line)
        if await self.say("mail", self.script.mail, sender) == 250:
            self.sender = sender

    async def on_rcpt(self, line: str) -> None:
        recipient = _between(line)
        if self.sender is None:
            self.writer.write(b"503 5.5.1 MAIL first\r\n")
        elif await self.say("rcpt", self.script.rcpt, recipient) == 250:
            self.recipients.append(recipient)
            self.far_end.in_transaction = self.recipients

    async def on_data(self, line: str) -> None:
        if not self.recipients and self.script.data == Script.data:
            self.writer.write(b"554 5.5.1 no valid recipients\r\n")
        elif await self.say("data", self.script.data) == 354:
            await self.receive()

    async def receive(self) -> None:
        if self.script.body is not None:
            taken = await self.reader.readexactly(self.script.body_bytes)
            await self.say("body", self.script.body)
            content = taken + await self.until_dot()
        else:
            content = await self.until_dot()
        received = Received(
            self.sender or "",
            self.recipients,
            unstuff(content),
            False,
            self.encrypted,
            self.user,
            self.number,
        )
        self.sender, self.recipients = None, []
        self.far_end.in_transaction = []
        self.far_end.ledger.append(received)
        received.accepted = await self.say("dot", self.script.dot) == 250
        if self.script.after is not None:
            await self.say("after", self.script.after)

    async def until_dot(self) -> bytes:
        """Everything up to and without the final dot; only CRLF.CRLF ends it.

        What came behind it are the next commands: clients may say QUIT at once (RFC 2920 §3.1).
        """
        content, end = bytearray(b"\r\n"), -1
        while end < 0:
            chunk = await self.reader.read(1 << 16)
            if not chunk:
                raise _End
            content += chunk
            self.far_end.body += chunk
            end = content.find(b"\r\n.\r\n", max(0, len(content) - len(chunk) - 4))
        if behind := content[end + 5 :]:
            self.reader._buffer[:0] = behind  # type: ignore[attr-defined]
            del content[-len(behind) :], self.far_end.body[-len(behind) :]
        if not self.encrypted:
            self.far_end.clear += content[2:]
        return bytes(content[2:-3])

    async def on_rset(self, line: str) -> None:
        self.sender, self.recipients = None, []
        self.far_end.in_transaction = []
        await self.say("rset", self.script.rset)

    async def on_noop(self, line: str) -> None:
        await self.say("noop", self.script.noop)

    async def on_quit(self, line: str) -> None:
        await self.say("quit", self.script.quit)
        self.writer.close()
        raise _End

    async def on_unknown(self, line: str) -> None:
        self.writer.write(b"500 5.5.2 what?\r\n")


def encode(reply: str) -> bytes:
    """Bytes of a reply of one or more lines."""
    code, lines = reply[:3], reply[4:].split("\n")
    marks = ["-"] * (len(lines) - 1) + [" "]
    return "".join(f"{code}{m}{t}\r\n" for m, t in zip(marks, lines, strict=True)).encode()


def unstuff(data: bytes) -> bytes:
    """Undo dot-stuffing (RFC 5321 §4.5.2), line by line and without cleverness."""
    lines = data.split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)


def _between(line: str) -> str:
    match = _PATH.search(line)
    return match[1] if match else ""


def greylisting(times: int = 1) -> Callable[[str, int], Action]:
    """RCPT answer that turns each address away this many times."""
    seen: dict[str, int] = {}

    def answer(address: str, _: int) -> Action:
        seen[address] = seen.get(address, 0) + 1
        return "250 2.1.5 ok" if seen[address] > times else "450 4.2.0 greylisted, come back"

    return answer


@contextlib.contextmanager
def threaded(far_end: FarEnd) -> Iterator[FarEnd]:
    """Run the server in a thread with a loop of its own."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop: asyncio.Event = asyncio.Event()

    async def serve() -> None:
        async with far_end:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the scripted server did not start")
    try:
        yield far_end
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
