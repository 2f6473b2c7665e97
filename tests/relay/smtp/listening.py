# SPDX-License-Identifier: AGPL-3.0-or-later
"""A listener on a loopback port with a policy in memory, and a client that speaks raw octets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from relay.smtp import answers
from relay.smtp.acceptor import listen
from relay.smtp.addresses import Address, within
from relay.smtp.answers import Answer
from relay.smtp.envelope import Recipient
from relay.smtp.listener import Limits, Listener, OpenListener
from relay.smtp.networks import Network
from relay.smtp.policy import Client, Identity, Submitted
from relay.smtp.server import Conversation
from tests.testbed.certificates import Authority

USER, PASSWORD = "anna", "correct-horse"
TENANTS = (USER, "bo", "carl", "dorte", "erik")  # each an owner of its own
HEADER = b"From: anna@firma.example\r\nTo: erik@other.example\r\nSubject: hej\r\n"


def plain_of(user: str) -> bytes:
    """What AUTH PLAIN takes for one of the tenants."""
    return base64.b64encode(f"\0{user}\0{PASSWORD}".encode())


PLAIN = plain_of(USER)


@dataclass(frozen=True)
class Tenant:
    """Who was let in."""

    owner: str


@dataclass
class Ledger:
    """A policy that lets tenants in and writes down what it accepted."""

    accepted: list[Submitted] = field(default_factory=list)
    sign_ins: list[tuple[str, str]] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    fails_at: str = ""
    by_network: Tenant | None = None  # who sends without signing in
    waits: threading.Event | None = None  # accept() holds until it is set

    async def connect(self, client: Client) -> Answer | None:
        self.clients.append(client)
        self._fail("connect")
        return None

    async def authenticate(self, client: Client, username: str, password: str) -> Tenant | Answer:
        self.sign_ins.append((username, password))
        self._fail("authenticate")
        is_right = username in TENANTS and password == PASSWORD
        return Tenant(username) if is_right else answers.WRONG_SIGN_IN

    async def recognise(self, client: Client, sender: Address | None) -> Identity | None:
        self._fail("recognise")
        return client.identity or self.by_network

    async def mail(self, client: Client, sender: Address | None) -> Answer | None:
        self._fail("mail")
        if sender is not None and not within(sender.domain, {"firma.example"}):
            return answers.SENDER_DOMAIN
        return None

    async def rcpt(self, client: Client, recipient: Recipient) -> Answer | None:
        self._fail("rcpt")
        return answers.OVER_RATE if recipient.address.startswith("later@") else None

    async def accept(self, client: Client, message: Submitted) -> Answer:
        self._fail("accept")
        while self.waits is not None and not self.waits.is_set():
            await asyncio.sleep(0.01)
        self.accepted.append(message)
        return answers.queued(str(len(self.accepted)))

    def _fail(self, step: str) -> None:
        if self.fails_at == step:
            raise RuntimeError("no such row: secret@firma.example")


class Running:
    """A listener in a thread of its own: STARTTLS on `port`, implicit TLS on `tls_port`."""

    def __init__(
        self,
        listener: Listener,
        ledger: Ledger | None = None,
        around: Callable[[], contextlib.AbstractAsyncContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.listener = listener
        self._ledger = ledger
        self._around = around
        self.port = self.tls_port = 0
        self.stop_with: float | None = None
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None
        return self._ledger

    @property
    def conversation(self) -> Conversation:
        """The only one there is."""
        (only,) = self.listener.conversations
        assert isinstance(only, Conversation)
        return only

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self, grace: float = 5.0, *, wait: bool = True) -> None:
        self.stop_with = grace
        self._stop.set()
        if wait:
            self._thread.join(60)
            assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._surrounded())

    async def _surrounded(self) -> None:
        async with self._around():
            await self._serve()

    async def _serve(self) -> None:
        for implicit in (False, True):
            sock = socket.create_server(("127.0.0.1", 0))
            number = sock.getsockname()[1]
            if implicit:
                self.tls_port = number
            else:
                self.port = number
            await listen(self.listener, sock, implicit_tls=implicit)
        self._ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        await self.listener.stop(self.stop_with or 0.1)


@contextlib.contextmanager
def running(
    *,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    plaintext: bool = True,
    balancers: tuple[Network, ...] = (),
    ledger: Ledger | None = None,
    is_open: bool = False,
) -> Iterator[Running]:
    """Signing in works in clear unless `plaintext` is False."""
    ledger = ledger or Ledger()
    listener = (OpenListener if is_open else Listener)(
        hostname="relay.example",
        policy=ledger,
        tls=tls,
        limits=limits or Limits(sign_in_delay=0.01),
        help_url="https://relay.example/help",
        plaintext_sign_in=plaintext,
        balancers=balancers,
    )
    server = Running(listener, ledger)
    server.start()
    try:
        yield server
    finally:
        server.stop(0.1)


class Raw:
    """A client that sends exactly the octets it is given."""

    def __init__(
        self, port: int, context: ssl.SSLContext | None = None, source: str = "127.0.0.1"
    ) -> None:
        self.socket: socket.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=10, source_address=(source, 0)
        )
        if context is not None:
            self.secure(context)
        self._buffer = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def secure(self, context: ssl.SSLContext) -> None:
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> bytes:
        """One whole reply, b"" at the end of the connection."""
        lines = b""
        while True:
            line = self._line()
            lines += line
            if line[3:4] != b"-":
                return lines

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            try:
                octets = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                octets = b""
            if not octets:
                return b""
            self._buffer += octets
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def say(self, command: bytes) -> bytes:
        self.send(command + b"\r\n")
        return self.reply()

    def code(self, command: bytes) -> int:
        return int(self.say(command)[:3] or 0)

    def sign_in(self, plain: bytes = PLAIN) -> Raw:
        assert self.reply().startswith(b"220 ")
        return self.sign_in_again(plain)

    def sign_in_again(self, plain: bytes = PLAIN) -> Raw:
        """After the greeting."""
        assert self.code(b"EHLO client.example") == 250
        assert self.code(b"AUTH PLAIN " + plain) == 235
        return self

    def begin(self, *recipients: bytes, sender: bytes = b"anna@firma.example") -> None:
        """Envelope and DATA, up to 354."""
        assert self.code(b"MAIL FROM:<" + sender + b">") == 250
        for recipient in recipients or (b"erik@other.example",):
            assert self.code(b"RCPT TO:<" + recipient + b">") == 250
        assert self.code(b"DATA") == 354


@dataclass(frozen=True)
class Certificates:
    """A server context for localhost, and the file a client has to trust."""

    server: ssl.SSLContext
    ca_file: Path

    @property
    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


def make_certificates(authority: Authority) -> Certificates:
    return Certificates(authority.server("localhost"), authority.ca_file)
