# SPDX-License-Identifier: AGPL-3.0-or-later
"""One message in an SMTP submission conversation (RFC 5321, RFC 6409): envelope, content, verdict.

Every command that is offered is written in this project: aiosmtpd's own read addresses leniently,
refuse parameters that real clients send, and answer an exception with 500 and its text. Who may
send what is the injected policy's business; see `policy.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Hashable

from relay.smtp import answers, headers
from relay.smtp.addresses import Address, AddressError, Fault, parse_path
from relay.smtp.answers import Answer
from relay.smtp.connection import Gone
from relay.smtp.crowd import Guest
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.intake import Beginning, Content
from relay.smtp.listener import Listener
from relay.smtp.parameters import MailParameters, ParameterError, read_mail, read_rcpt
from relay.smtp.policy import Submitted
from relay.smtp.session import Cost, Session

# RFC 5321 §4.5.1: reachable at every host that takes mail for others, without a domain as well.
_POSTMASTER = re.compile(r"<postmaster> *", re.IGNORECASE)


class Conversation(Session):
    """One connection. `_commands` is built once."""

    def __init__(
        self, listener: Listener, loop: asyncio.AbstractEventLoop, place: Guest | None = None
    ) -> None:
        super().__init__(listener, loop, place)
        self._messages = self._held = self._granted = 0
        self._forget_message()

    def _forget_message(self) -> None:
        self._under_way = False
        self._sender: Address | None = None
        self._parameters = MailParameters()
        self._recipients: dict[str, Recipient] = {}

    def _undecodable(self) -> None:
        if self._under_way:  # it may be a recipient's address
            return self._refuse(answers.SYNTAX, Cost.REFUSED)
        return super()._undecodable()

    # Envelope

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 §4.1.1.2."""
        refusal = self._mail_refusal()
        if refusal is not None:
            return self._refuse(refusal, Cost.ASIDE)
        try:
            path, rest = parse_path(_after_keyword(argument, "FROM:"), utf8=True)
            parameters = read_mail(rest)
        except AddressError as error:
            return self._wrong_command(_path_answer(error, answers.SENDER_SYNTAX))
        except ParameterError as error:
            return self._wrong_command(error.answer)
        await self._recognise(path)
        refusal = self._size_refusal(parameters.size)
        if path is not None and not parameters.smtputf8 and not str(path).isascii():
            refusal = answers.NEEDS_SMTPUTF8
        if refusal is None:
            refusal = await self.listener.policy.mail(self.client, path)
        if refusal is not None:
            return self._refuse(refusal, Cost.ASIDE)
        self._messages += 1
        self._under_way, self._sender, self._parameters = True, path, parameters
        self.client.sender = path
        return self._say(answers.SENDER_OK)

    async def _recognise(self, sender: Address | None) -> None:
        """Let in who may send this from where it is, under TLS as anybody else."""
        identity = await self.listener.policy.recognise(self.client, sender)
        if identity is None or self.listener.is_open:
            # A stranger all the same: it makes room for the next one.
            self.client.identity = identity
        else:
            self._let_in(identity)

    def _mail_refusal(self) -> Answer | None:
        if not (self.client.identity or self.may_sign_in or self.listener.is_open):
            return answers.TLS_FIRST
        if not self.client.greeting:
            return answers.GREET_FIRST  # RFC 5321 §4.1.4
        if self._under_way:
            return answers.MAIL_TWICE
        spent = self.listener.clock() - self._began
        if self._messages >= self.limits.messages or spent > self.limits.session:
            return answers.SESSION_OVER
        return None

    def _size_refusal(self, size: int) -> Answer | None:
        if not self.client.identity:
            return answers.SIGN_IN_FIRST
        if size > self.limits.size:
            return answers.TOO_LARGE
        return None if self._has_room(min(size, self.limits.kept)) else answers.NO_MEMORY

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.3. Whom it refuses takes nothing from the others of the message."""
        if not self._under_way:
            return self._without_mail(Cost.REFUSED)
        if len(self._recipients) >= self.limits.recipients:
            return self._refuse(answers.TOO_MANY_RECIPIENTS, Cost.SURPLUS)
        try:
            path, rest = self._forward_path(_after_keyword(argument, "TO:"))
            notify, orcpt = read_rcpt(rest)
        except AddressError as error:
            return self._refuse(_path_answer(error, answers.RECIPIENT_SYNTAX), Cost.REFUSED)
        except ParameterError as error:
            return self._refuse(error.answer, Cost.REFUSED)
        if path is None:
            return self._refuse(answers.RECIPIENT_SYNTAX, Cost.REFUSED)
        return await self._name(Recipient(str(path), notify, orcpt))

    async def _name(self, recipient: Recipient) -> None:
        refusal = await self.listener.policy.rcpt(self.client, recipient)
        if refusal is not None:
            return self._refuse(refusal, Cost.REFUSED)
        if recipient.address in self._recipients:
            self._spend(Cost.SURPLUS)
        self._recipients[recipient.address] = recipient
        return self._say(answers.RECIPIENT_OK)

    def _forward_path(self, text: str) -> tuple[Address | None, str]:
        """Raises AddressError."""
        if self.listener.is_open and _POSTMASTER.fullmatch(text):
            return Address("postmaster", self.listener.hostname), ""
        return parse_path(text, utf8=self._parameters.smtputf8)

    def _without_mail(self, cost: Cost) -> None:
        """No fault of who has signed in: it may be one group with a refused MAIL (RFC 2920)."""
        self._refuse(answers.MAIL_FIRST, cost if self.client.identity else Cost.WRONG)

    # Content

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 §4.1.1.4."""
        if argument:
            return self._wrong_command(answers.SYNTAX)
        if not self._under_way:
            return self._without_mail(Cost.ASIDE)
        if not self._recipients:
            return self._refuse(answers.NO_RECIPIENTS, Cost.ASIDE)
        if not self._has_room(self._declared):
            self._forget_message()
            return self._refuse(answers.NO_MEMORY, Cost.ASIDE)
        self._replies.append(self.listener.wire(answers.SEND_CONTENT))
        answer = await self._take_content()
        if answer.positive:
            self._in_vain = 0
        else:
            self._spend(Cost.ASIDE)
        self._say(answer)
        return await self._flush()

    async def _take_content(self) -> Answer:
        self._content = content = self._empty_content()
        # Large content has its room from here on: nobody sends it all only to hear 452. What is
        # small takes its room when it comes, or announcements would be enough to fill all of it.
        self._granted = self._declared if self.listener.is_large(self._declared) else 0
        self._hold(self._granted)
        try:
            full = await self._receive(content)
            return await self._judge(content, full=full)
        finally:
            self._content = None
            self._hold(0)
            self._forget_message()

    def _empty_content(self) -> Content:
        limits = self.limits
        if limits.kept < limits.size:
            return Beginning(limits.size, limits.kept)
        return Content(limits.size)

    @property
    def _declared(self) -> int:
        """Octets that the message will hold, as far as the client has said."""
        return min(self._parameters.size, self.limits.kept)

    async def _receive(self, content: Content) -> bool:
        """Read to the end of DATA, whatever happens before; whether memory ran out meanwhile."""
        self._content_began = self.listener.clock()
        full = False
        while True:
            if not self._inbox:
                await self._arrive(self.limits.content_silence)
            rest = content.feed(self._inbox.take())
            self._hold(0 if content.dropped else max(content.held, self._granted))
            if rest is not None:
                self._inbox.feed(rest)
                return full
            if not content.dropped and content.held > self._granted and not self._has_room(0):
                full = True
                content.drop()
                self._hold(0)

    @property
    def _owner(self) -> Hashable:
        assert self.client.identity is not None  # MAIL was accepted
        return self.client.identity.owner

    def _has_room(self, octets: int) -> bool:
        return self.listener.has_room(octets, self._owner, self._held)

    def _hold(self, octets: int) -> None:
        """Count what this connection holds of a message, of all that `Limits.memory` allows."""
        self.listener.hold(octets - self._held, self._owner)
        self._held = octets

    async def _judge(self, content: Content, *, full: bool) -> Answer:
        found = self._examine(content, full=full)
        if isinstance(found, Answer):
            return found
        if self.transport is None or self._hung_up:
            raise Gone  # nobody is left to hear 250, and the client will send it again
        accepting = self.listener.policy.accept(self.client, found)
        # Whoever holds it decides how long it stays in memory, and that is the policy alone.
        del found
        self.storing = True
        try:
            # A client gives up after 10 minutes or earlier and sends again (RFC 5321 §4.5.3.2.6).
            async with asyncio.timeout(self.limits.storing):
                return await accepting
        finally:
            self.storing = False

    def _examine(self, content: Content, *, full: bool) -> Submitted | Answer:
        octets = content.take()
        if octets is None:
            return answers.NO_MEMORY if full else answers.TOO_LARGE
        try:
            header = self._scan(octets)
        except headers.ContentError as error:
            return answers.CONTENT[error.fault]
        self._hold(len(octets))
        return Submitted(self._envelope(octets), octets, header)

    def _scan(self, octets: bytes) -> headers.Header:
        """Raises ContentError."""
        if self.listener.is_open:
            return headers.Header()
        headers.check_lines(octets)
        return headers.scan(octets, utf8=self._parameters.smtputf8, hostname=self.listener.own_name)

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
    name.removeprefix("smtp_").encode(): method
    for name, method in (*vars(Session).items(), *vars(Conversation).items())
    if name.startswith("smtp_")
}


def _after_keyword(argument: str, keyword: str) -> str:
    """What follows FROM: or TO:. A space after the colon is wrong, common and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        raise ParameterError(answers.SYNTAX)
    return argument[len(keyword) :].lstrip(" ")


def _path_answer(error: AddressError, answer: Answer) -> Answer:
    return answers.NEEDS_SMTPUTF8 if error.fault is Fault.UTF8 else answer
