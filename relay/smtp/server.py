# SPDX-License-Identifier: AGPL-3.0-or-later
"""One SMTP submission conversation (RFC 5321, RFC 6409): commands in, decisions asked, replies out.

Every command that is offered is written here: aiosmtpd's own read addresses leniently, refuse
parameters that real clients send, and answer an exception with 500 and its text. Who may send what
is the injected policy's business; see `policy.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable
from typing import ClassVar

from relay.smtp import answers, headers, sasl
from relay.smtp.addresses import Address, AddressError, Fault, parse_path
from relay.smtp.answers import Answer
from relay.smtp.connection import Connection, Gone
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.intake import Content, LineMalformed, LineTooLong
from relay.smtp.listener import Listener
from relay.smtp.parameters import MailParameters, ParameterError, read_mail, read_rcpt
from relay.smtp.policy import Submitted

logger = logging.getLogger(__name__)
_UNREADABLE = {
    sasl.Cancelled: answers.CANCELLED,
    sasl.NotThreeParts: answers.NOT_THREE_PARTS,
    sasl.NotUtf8: answers.NOT_UTF8,
}
_FOREIGN = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT"})


class Conversation(Connection):
    """One connection. Its methods answer one command each; `_commands` is built once."""

    _commands: ClassVar[dict[bytes, Callable[[Conversation, str], Awaitable[None]]]]

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(listener, loop)
        self._greeted = False
        self._wrong = self._failed_sign_ins = self._messages = 0
        self._forget_message()

    # The conversation

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except (Gone, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001 - nothing may leave a connection half alive
            self._report(error)
        finally:
            self.listener.left(self)
            self._hang_up()

    async def _converse(self) -> None:
        refusal = self.listener.admit(self)
        if refusal is not None:
            return self._say(refusal)
        refusal = await self.listener.policy.connect(self.client)
        if refusal is not None:
            return self._say(refusal)
        self._replies.append(self.listener.greeting)
        while True:
            await self._obey()

    async def _obey(self) -> None:
        """Read one command and answer it; whatever fails inside is ours to answer for: 451."""
        try:
            line = await self._line(self.limits.command)
            verb, _, argument = line.partition(b" ")
            command = self._commands.get(verb.upper())
            if command is None:
                self._refuse_verb(verb.upper())
            else:
                await command(self, argument.decode())
        except LineTooLong:
            self._wrong_command(answers.TOO_LONG)
        except LineMalformed:
            self._wrong_command(answers.NOT_CRLF)
        except UnicodeDecodeError:
            self._wrong_command(answers.SYNTAX)
        except (Gone, ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a client must not lose mail to our fault
            self._report(error)
            self._forget_message()
            self._say(answers.FAILED)

    def _report(self, error: Exception) -> None:
        """Where it failed, without the exception's text: that may quote an address."""
        trail = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{step.name}:{step.lineno}" for step in reversed(trail))
        logger.error("conversation failed: %s in %s", type(error).__name__, places)

    def _refuse_verb(self, verb: bytes) -> None:
        # A browser made to talk to this port sends its commands in a request's body.
        if verb in _FOREIGN:
            self._say(answers.FOREIGN_PROTOCOL)
        self._wrong_command(answers.UNKNOWN)

    def _wrong_command(self, answer: Answer) -> None:
        self._wrong += 1
        self._say(answers.TOO_MANY_ERRORS if self._wrong > self.limits.errors else answer)

    def _forget_message(self) -> None:
        self._under_way = False
        self._sender: Address | None = None
        self._parameters = MailParameters()
        self._recipients: dict[str, Recipient] = {}

    # Commands

    async def smtp_EHLO(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1. The name is not kept: it often names a person's computer."""
        if not argument.strip() or not argument.isprintable():
            return self._wrong_command(answers.SYNTAX)
        self._forget_message()
        self._greeted = True
        self._replies.append(self.listener.extensions(self.may_sign_in, self._may_start_tls))
        return None

    async def smtp_HELO(self, argument: str) -> None:
        """Plain SMTP: greets, and can do nothing here because it cannot sign in."""
        if not argument.strip() or not argument.isprintable():
            return self._wrong_command(answers.SYNTAX)
        self._forget_message()
        self._replies.append(b"250 " + self.listener.hostname.encode() + b"\r\n")
        return None

    async def smtp_NOOP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.9."""
        self._say(answers.OK)

    async def smtp_RSET(self, argument: str) -> None:
        """RFC 5321 §4.1.1.5."""
        self._forget_message()
        self._say(answers.SYNTAX if argument else answers.OK)

    async def smtp_QUIT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.10."""
        self._say(answers.BYE)

    async def smtp_HELP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.8."""
        self._say(answers.HELP)

    async def smtp_VRFY(self, argument: str) -> None:
        """RFC 5321 §3.5.3: no look-up of addresses."""
        self._say(answers.NO_VERIFY)

    async def smtp_EXPN(self, argument: str) -> None:
        """RFC 5321 §3.5.3: no lists."""
        self._wrong_command(answers.NOT_OFFERED)

    smtp_BDAT = smtp_TURN = smtp_ETRN = smtp_EXPN

    # TLS

    @property
    def _may_start_tls(self) -> bool:
        return not self.client.tls_version and self.listener.tls is not None

    async def smtp_STARTTLS(self, argument: str) -> None:
        """RFC 3207 §4."""
        if self.client.tls_version:
            return self._wrong_command(answers.TLS_ALREADY)
        if argument:
            return self._wrong_command(answers.SYNTAX)
        if self.listener.tls is None:
            return self._say(answers.TLS_MISSING)
        self._say(answers.TLS_READY)
        await self._flush()
        return await self._start_tls()

    async def _start_tls(self) -> None:
        """Shake hands and start over. Raises Gone when the handshake fails."""
        # What was sent in clear after STARTTLS may be an attacker's (CVE-2024-34083).
        self._inbox.clear()
        assert self.transport is not None
        assert self.listener.tls is not None
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                self.listener.tls,
                server_side=True,
                ssl_handshake_timeout=self.limits.handshake,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            transport = None
        if transport is None:
            raise Gone
        # RFC 3207 §4.2: everything the client said before is forgotten.
        self._adopt(transport)
        self._greeted = False
        self.client.identity = None
        self._forget_message()

    # Signing in

    @property
    def may_sign_in(self) -> bool:
        """Only under TLS (RFC 4954 §4); development may allow it in clear, on loopback."""
        return bool(self.client.tls_version) or (
            self.listener.plaintext_sign_in and self.client.address in ("127.0.0.1", "::1")
        )

    async def smtp_AUTH(self, argument: str) -> None:
        """RFC 4954. Mechanism names are read in any case."""
        mechanism, _, initial = argument.partition(" ")
        refusal = self._sign_in_refusal(mechanism.upper())
        if refusal is not None:
            return self._wrong_command(refusal)
        try:
            username, password = await sasl.read(mechanism.upper(), initial.strip(), self._ask)
        except ValueError as fault:
            return self._wrong_command(_UNREADABLE.get(type(fault), answers.NOT_BASE64))
        return await self._sign_in(username, password)

    def _sign_in_refusal(self, mechanism: str) -> Answer | None:
        if not self._greeted:
            return answers.GREET_FIRST
        if self.client.identity is not None:
            return answers.SIGNED_IN_ALREADY
        if not self.may_sign_in:
            return answers.ENCRYPT_FIRST
        return None if mechanism in sasl.MECHANISMS else answers.MECHANISM

    async def _ask(self, challenge: bytes) -> bytes:
        self._replies.append(b"334 " + challenge + b"\r\n")
        return await self._line(self.limits.sign_in_line)

    async def _sign_in(self, username: str, password: str) -> None:
        identity = await self.listener.policy.authenticate(self.client, username, password)
        if not isinstance(identity, Answer):
            self.client.identity = identity
            return self._say(answers.SIGNED_IN)
        self._failed_sign_ins += 1
        # Each failure costs more time than the one before.
        await asyncio.sleep(self.limits.sign_in_delay * 2 ** (self._failed_sign_ins - 1))
        if self._failed_sign_ins >= self.limits.sign_ins:
            return self._say(answers.GUESSING)
        return self._say(identity)

    # Envelope

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 §4.1.1.2."""
        refusal = self._mail_refusal()
        if refusal is not None:
            return self._say(refusal)
        try:
            path, rest = parse_path(_after_keyword(argument, "FROM:"), utf8=True)
            parameters = read_mail(rest)
        except AddressError as error:
            return self._wrong_command(_path_answer(error, answers.SENDER_SYNTAX))
        except ParameterError as error:
            return self._wrong_command(error.answer)
        refusal = self._size_refusal(parameters.size)
        if path is not None and not parameters.smtputf8 and not str(path).isascii():
            refusal = answers.NEEDS_SMTPUTF8
        if refusal is None:
            refusal = await self.listener.policy.mail(self.client, path)
        if refusal is not None:
            return self._say(refusal)
        self._under_way, self._sender, self._parameters = True, path, parameters
        return self._say(answers.SENDER_OK)

    def _mail_refusal(self) -> Answer | None:
        if not self.client.identity:
            return answers.SIGN_IN_FIRST if self.may_sign_in else answers.TLS_FIRST
        if self._under_way:
            return answers.MAIL_TWICE
        spent = self.listener.clock() - self._began
        if self._messages >= self.limits.messages or spent > self.limits.session:
            return answers.SESSION_OVER
        return None

    def _size_refusal(self, size: int) -> Answer | None:
        if size > self.limits.size:
            return answers.TOO_LARGE
        return answers.NO_MEMORY if not self.listener.has_room(size) else None

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.3."""
        if not self._under_way:
            return self._wrong_command(answers.MAIL_FIRST)
        if len(self._recipients) >= self.limits.recipients:
            return self._say(answers.TOO_MANY_RECIPIENTS)
        try:
            path, rest = parse_path(_after_keyword(argument, "TO:"), utf8=self._parameters.smtputf8)
            notify, orcpt = read_rcpt(rest)
        except AddressError as error:
            return self._wrong_command(_path_answer(error, answers.RECIPIENT_SYNTAX))
        except ParameterError as error:
            return self._wrong_command(error.answer)
        if path is None:
            return self._wrong_command(answers.RECIPIENT_SYNTAX)
        recipient = Recipient(str(path), notify, orcpt)
        refusal = await self.listener.policy.rcpt(self.client, recipient)
        if refusal is not None:
            return self._say(refusal)
        self._recipients[recipient.address] = recipient
        return self._say(answers.RECIPIENT_OK)

    # Content

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 §4.1.1.4."""
        if argument:
            return self._wrong_command(answers.SYNTAX)
        if not self._under_way:
            return self._wrong_command(answers.MAIL_FIRST)
        if not self._recipients:
            return self._wrong_command(answers.NO_RECIPIENTS)
        self._replies.append(self.listener.wire(answers.SEND_CONTENT))
        self._content = content = Content(self.limits.size)
        self.listener.held += content.held
        try:
            full = await self._receive(content)
            answer = await self._judge(content, full=full)
        finally:
            self._content = None
            self.listener.held -= content.held
            self._forget_message()
        self._say(answer)
        return await self._flush()

    async def _receive(self, content: Content) -> bool:
        """Read to the end of DATA, whatever happens before; whether memory ran out meanwhile."""
        self._content_began = self.listener.clock()
        full = False
        while True:
            if not self._inbox:
                await self._arrive(self.limits.content_silence)
            before = content.held
            rest = content.feed(self._inbox.take())
            self.listener.held += content.held - before
            if rest is not None:
                self._inbox.feed(rest)
                return full
            if not content.dropped and not self.listener.has_room(0):
                before, full = content.held, True
                content.drop()
                self.listener.held += content.held - before

    async def _judge(self, content: Content, *, full: bool) -> Answer:
        self._messages += 1
        octets = content.message()
        if octets is None:
            return answers.NO_MEMORY if full else answers.TOO_LARGE
        try:
            headers.check_lines(octets)
            header = headers.scan(
                octets, utf8=self._parameters.smtputf8, authserv_id=self.listener.authserv_id
            )
        except headers.ContentError as error:
            return answers.CONTENT[error.fault]
        if self.transport is None:
            raise Gone  # nobody is left to hear 250, and the client will send it again
        message = Submitted(self._envelope(octets), octets, header)
        # A client gives up after 10 minutes or earlier and sends again (RFC 5321 §4.5.3.2.6).
        async with asyncio.timeout(self.limits.storing):
            return await self.listener.policy.accept(self.client, message)

    def _envelope(self, octets: bytes) -> Envelope:
        given = self._parameters
        return Envelope(
            sender="" if self._sender is None else str(self._sender),
            recipients=tuple(self._recipients.values()),
            # Many clients send 8-bit text without saying so; the next hop has to be told.
            body=given.body if octets.isascii() else "8BITMIME",
            smtputf8=given.smtputf8,
            ret=given.ret,
            envid=given.envid,
        )


Conversation._commands = {
    name.removeprefix("smtp_").encode(): getattr(Conversation, name)
    for name in vars(Conversation)
    if name.startswith("smtp_")
}


def _after_keyword(argument: str, keyword: str) -> str:
    """What follows FROM: or TO:. A space after the colon is wrong, common and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        raise ParameterError(answers.SYNTAX)
    return argument[len(keyword) :].lstrip(" ")


def _path_answer(error: AddressError, answer: Answer) -> Answer:
    return answers.NEEDS_SMTPUTF8 if error.fault is Fault.UTF8 else answer


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
