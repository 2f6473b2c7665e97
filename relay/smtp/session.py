# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a client says before and beside a message: greeting, TLS (RFC 3207), sign-in (RFC 4954).

The message itself is `server.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any, ClassVar

from relay.smtp import answers, sasl
from relay.smtp.answers import Answer
from relay.smtp.connection import Connection, Gone
from relay.smtp.crowd import Guest
from relay.smtp.intake import LineMalformed, LineTooLong
from relay.smtp.listener import Listener
from relay.smtp.policy import Identity

logger = logging.getLogger(__name__)
_UNREADABLE = {
    sasl.Cancelled: answers.CANCELLED,
    sasl.NotThreeParts: answers.NOT_THREE_PARTS,
    sasl.NotUtf8: answers.NOT_UTF8,
}
# Commands that send no message.
_ASIDES = frozenset({b"EHLO", b"HELO", b"NOOP", b"RSET", b"HELP", b"VRFY"})
# Commands between two turns of the event loop: one read can bring thousands.
_TURN = 50
_FOREIGN = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT"})


class Cost(IntEnum):
    """What a command that brings no message spends of `Limits.in_vain`.

    Postfix bounds the same by smtpd_hard_error_limit (20), smtpd_junk_command_limit (100) and
    smtpd_recipient_overshoot_limit (1,000), and forgets it likewise when it has taken mail. But a
    refused recipient is an error there, and this server has its customers' own lists before it: an
    old one may well hold a message's hundred recipients who are all refused, and several of these.
    """

    WRONG = 100  # 20: no program for mail says it
    ASIDE = 20  # 100: as it should be, but sends nothing
    REFUSED = 5  # 400: a recipient, or one after a refused MAIL in the same group (RFC 2920)
    SURPLUS = 2  # 1,000: a recipient that the next message may have, or once more the same


class Session(Connection):
    """One connection without its message. Its methods answer one command each."""

    _commands: ClassVar[dict[bytes, Callable[[Any, str], Awaitable[None]]]]

    def __init__(
        self, listener: Listener, loop: asyncio.AbstractEventLoop, place: Guest | None = None
    ) -> None:
        super().__init__(listener, loop, place)
        self._failed_sign_ins = self._spoken = 0
        self._in_vain = 0  # spent since the last message that was taken
        self._ends_turn = False

    def _forget_message(self) -> None:
        raise NotImplementedError

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
        refusal = await self._enter()
        if refusal is None:
            refusal = await self.listener.policy.connect(self.client)
        if refusal is not None:
            return self._say(refusal)
        self._replies.append(self.listener.greeting)
        while True:
            await self._obey()

    async def _obey(self) -> None:
        """Read one command and answer it; whatever fails inside is ours to answer for: 451."""
        try:
            await self._take_turns()
            line = await self._line(self.limits.command)
            verb, _, argument = line.partition(b" ")
            await self._carry_out(verb.upper(), argument)
        except LineTooLong:
            self._wrong_command(answers.TOO_LONG)
        except LineMalformed:
            self._wrong_command(answers.NOT_CRLF)
        except UnicodeDecodeError:
            self._undecodable()
        except (Gone, ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a client must not lose mail to our fault
            self._report(error)
            self._forget_message()
            self._say(answers.FAILED)

    async def _take_turns(self) -> None:
        """Behind a command in vain, what has come already waits until all others had their turn."""
        self._spoken += 1
        is_over = self._spoken % _TURN == 0
        if is_over:
            await self._flush()
        if is_over or (self._ends_turn and len(self._inbox)):
            await asyncio.sleep(0)
        self._ends_turn = False

    async def _carry_out(self, verb: bytes, argument: bytes) -> None:
        command = self._commands.get(verb)
        if command is None:
            return self._refuse_verb(verb)
        if verb in _ASIDES:
            self._spend(Cost.ASIDE)
        return await command(self, argument.decode())

    def _spend(self, cost: Cost) -> None:
        """A client that gets no message taken shall not keep others waiting, nor go on for ever.

        Raises Gone, after 421, when it has spent all.
        """
        self._in_vain += cost
        self._ends_turn = True
        if self._in_vain > self.limits.in_vain:
            self._say(answers.NO_MESSAGE)

    def _refuse(self, answer: Answer, cost: Cost) -> None:
        self._spend(cost)
        self._say(answer)

    def _undecodable(self) -> None:
        self._wrong_command(answers.SYNTAX)

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
        self._refuse(answer, Cost.WRONG)

    # Commands

    async def smtp_EHLO(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1. The name is never kept: it may be a person's computer's."""
        if not argument.strip() or not argument.isprintable():
            return self._wrong_command(answers.SYNTAX)
        self._forget_message()
        self.client.greeting = "EHLO"
        self._replies.append(self.listener.extensions(self.may_sign_in, self._may_start_tls))
        return None

    async def smtp_HELO(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1. Nobody can sign in after it; mail by network is taken."""
        if not argument.strip() or not argument.isprintable():
            return self._wrong_command(answers.SYNTAX)
        self._forget_message()
        self.client.greeting = "HELO"
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
                ssl_shutdown_timeout=self.limits.goodbye,
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            transport = None
        if transport is None:
            raise Gone
        # RFC 3207 §4.2: everything the client said before is forgotten.
        self._adopt(transport)
        self.client.greeting = ""
        self.client.identity = None
        self._forget_message()

    # Signing in

    @property
    def may_sign_in(self) -> bool:
        """Only under TLS (RFC 4954 §4); development may allow it in clear, on loopback."""
        if self.listener.is_open:
            return False
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
        if self.listener.is_open:
            return answers.NOT_OFFERED
        if self.client.greeting != "EHLO":
            return answers.GREET_FIRST
        if self.client.identity is not None:
            return answers.SIGNED_IN_ALREADY
        if not self.may_sign_in:
            return answers.ENCRYPT_FIRST
        return None if mechanism in sasl.MECHANISMS else answers.MECHANISM

    async def _ask(self, challenge: bytes) -> bytes:
        self._replies.append(b"334 " + challenge + b"\r\n")
        return await self._line(self.limits.sign_in_line)

    def _let_in(self, identity: Identity) -> None:
        """Give the place to its owner. Raises Gone, after 421, when that has too many already."""
        refusal = self.listener.signed_in(self, identity.owner)
        if refusal is not None:
            return self._say(refusal)
        self.client.identity = identity
        return None

    async def _sign_in(self, username: str, password: str) -> None:
        identity = await self.listener.policy.authenticate(self.client, username, password)
        if not isinstance(identity, Answer):
            self._let_in(identity)
            return self._say(answers.SIGNED_IN)
        self._failed_sign_ins += 1
        # AUTH ends a group of commands (RFC 4954 §4): nothing waits here while the client has to.
        if self.says_too_much():
            raise Gone
        # Each failure costs more time than the one before.
        await asyncio.sleep(self.limits.sign_in_delay * 2 ** (self._failed_sign_ins - 1))
        if self._failed_sign_ins >= self.limits.sign_ins:
            return self._say(answers.GUESSING)
        return self._say(identity)
