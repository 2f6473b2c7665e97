# SPDX-License-Identifier: AGPL-3.0-or-later
"""One MAIL … dot sequence and what each of its replies means for each recipient."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from relay.smtp.handshake import Session, Timeouts
from relay.smtp.replies import Outcome, Reply, ReplyError, Scope, Stage, Verdict
from relay.smtp.wire import Lost

# Takes the places in the envelope of those whose message is about to get its final dot.
OnDot = Callable[[Sequence[int]], Awaitable[None]]

# Commands in one pipelined group: RFC 5321 §4.5.3.1.8 lets a client count on 100 recipients, and
# a larger group could have its replies arrive faster than anyone reads them.
GROUP = 100


class Stale(Exception):
    """A reused connection had died unnoticed: the server answered nothing about this message."""


class _EndedByReplyError(Exception):
    """A reply that ends the connection in the middle of the transaction."""

    def __init__(self, reply: Reply, stage: Stage) -> None:
        super().__init__(reply.code)
        self.reply = reply
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is sent, ready for this server."""

    mail: bytes
    recipients: dict[int, bytes]  # RCPT command by the recipient's place in the envelope
    addresses: tuple[str, ...]  # of the envelope
    body: bytes = field(repr=False)
    terminator: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    command: bytes
    stage: Stage
    index: int = -1  # of the recipient


_DATA = _Step(b"DATA\r\n", Stage.DATA)
_RESET = _Step(b"RSET\r\n", Stage.MAIL)


class Transaction:
    """Fills ``outcomes`` for the message's recipients, or names those for another transaction.

    Afterwards ``dirty`` says that RSET is due and ``broken`` that the connection is of no more use.
    """

    def __init__(
        self, session: Session, timeouts: Timeouts, message: Prepared, on_dot: OnDot
    ) -> None:
        self._wire = session.wire
        self._peer = session.peer
        self._pipelining = session.features.pipelining
        self._dsn = session.features.dsn
        self._timeouts = timeouts
        self._message = message
        self._on_dot = on_dot
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeouts.dialogue
        self._accepted: list[int] = []
        self._overflow: dict[int, Outcome] = {}
        self._mail_refused = False
        self._answered = False
        self._dot_sent = False
        self._stage = Stage.MAIL
        self.outcomes: dict[int, Outcome] = {}
        self.dirty = True
        self.broken = False

    async def run(self, *, reset: bool, reused: bool) -> list[int]:
        """Return the recipients that the server wants in another transaction.

        Raises Stale on a ``reused`` connection that turns out dead before its first answer, and
        whatever on_dot raises.
        """
        try:
            data = await self._offer(reset=reset, reused=reused)
            if data is not None:
                await self._after_data(data)
        except (Lost, ReplyError, _EndedByReplyError) as error:
            self.broken = True
            if reused and not self._answered:
                raise Stale from None
            self._settle_rest(error)
        return self._left_for_another()

    async def _offer(self, *, reset: bool, reused: bool) -> Reply | None:
        """Send MAIL, RCPT and DATA; return the reply to DATA, None when it was not sent."""
        reply = None
        for group in self._groups(reset=reset):
            if self._mail_refused or (group == [_DATA] and not self._accepted):
                return None
            self._wire.write(b"".join(step.command for step in group))
            for step in group:
                limit = self._timeouts.reused if reused and not self._answered else None
                reply = await self._reply(step, limit)
                self._take(step, reply)
        return reply

    def _groups(self, *, reset: bool) -> Iterator[list[_Step]]:
        """All commands, in groups that may be sent without waiting (RFC 2920 §3.1)."""
        steps = [_RESET] if reset else []
        steps.append(_Step(self._message.mail, Stage.MAIL))
        steps += [_Step(rcpt, Stage.RCPT, i) for i, rcpt in self._message.recipients.items()]
        steps.append(_DATA)
        size = GROUP if self._pipelining else 1
        for start in range(0, len(steps), size):
            yield steps[start : start + size]

    async def _reply(self, step: _Step, limit: float | None) -> Reply:
        self._stage = step.stage
        patience = self._timeouts.data if step is _DATA else self._timeouts.command
        left = max(self._deadline - self._loop.time(), 0)
        reply = await self._wire.reply(min(limit or patience, left))
        # RFC 5321 §3.8: the server closes after 421, whatever was asked.
        if reply.code == 421:
            raise _EndedByReplyError(reply, step.stage)
        self._answered = True
        return reply

    def _take(self, step: _Step, reply: Reply) -> None:
        positive = reply.code // 100 == 2
        if step is _RESET and not positive:
            raise Lost("RSET was refused")
        if step.stage is Stage.MAIL and not positive:
            self._mail_refused = True
            refused = self._peer.judged(reply, Stage.MAIL)
            self.outcomes.update(dict.fromkeys(self._message.recipients, refused))
        elif step.stage is Stage.RCPT and not self._mail_refused:
            self._take_recipient(step.index, reply)

    def _take_recipient(self, index: int, reply: Reply) -> None:
        if reply.code // 100 == 2:
            self._accepted.append(index)
            return
        refused = self._peer.judged(reply, Stage.RCPT, [self._message.addresses[index]])
        if self._accepted and _too_many(reply):
            self._overflow[index] = refused
        else:
            self.outcomes[index] = refused

    async def _after_data(self, reply: Reply) -> None:
        if reply.code // 100 != 3:
            self._settle(self._peer.judged(reply, Stage.DATA))
            self.broken = reply.code // 100 == 2  # out of step: the next reply could be anyone's
        elif self._accepted:
            await self._hand_over()
        else:
            # RFC 2920 §3.1: a server may say 354 although it refused everyone; it gets no body.
            self._wire.write(b".\r\n")
            await self._wire.reply(self._timeouts.dot)

    async def _hand_over(self) -> None:
        await self._wire.write_all(self._message.body, self._timeouts.block)
        await self._still_listening()
        await self._on_dot(tuple(self._accepted))
        await self._still_listening()
        self._wire.write(self._message.terminator)
        self._dot_sent, self._stage = True, Stage.DOT
        reply = await self._wire.reply(self._timeouts.dot)
        taken = [self._message.addresses[index] for index in self._accepted]
        self._settle(replace(self._peer.judged(reply, Stage.DOT, taken), took_dsn=self._dsn))
        self.broken = reply.code == 421 or reply.code // 100 == 3
        self.dirty = False

    async def _still_listening(self) -> None:
        """A reply before the dot is not the reply to the dot: end without sending it."""
        if not self._wire.pending and not self._wire.ended:
            return
        reply = await self._wire.reply(self._timeouts.goodbye)
        if reply.code >= 400:
            raise _EndedByReplyError(reply, Stage.DOT)
        raise ReplyError("reply before the end of the message")

    def _settle(self, outcome: Outcome) -> None:
        # Whose address it is that does not exist is not said where there are several.
        if outcome.is_hard and len(self._accepted) > 1:
            outcome = replace(outcome, is_hard=False)
        for index in self._accepted:
            self.outcomes[index] = outcome

    def _settle_rest(self, error: Exception) -> None:
        """Everyone without an answer waits; replies that did come keep their meaning."""
        self.outcomes.update(self._overflow)
        if isinstance(error, _EndedByReplyError):
            rest = self._peer.judged(error.reply, error.stage)
        else:
            rest = self._peer.outcome(
                Verdict.RETRY,
                Scope.INFRASTRUCTURE,
                "4.4.2",
                str(error),
                stage=self._stage,
                after_dot=self._dot_sent,
            )
        for index in self._message.recipients:
            self.outcomes.setdefault(index, rest)

    def _left_for_another(self) -> list[int]:
        delivered = any(self.outcomes[i].verdict is Verdict.DELIVERED for i in self._accepted)
        if delivered and not self.broken:
            return list(self._overflow)
        self.outcomes.update(self._overflow)
        return []


def _too_many(reply: Reply) -> bool:
    """RFC 5321 §4.5.3.1.10: 452, formerly 552, says that this transaction has enough recipients."""
    return reply.enhanced.endswith(".5.3") or (reply.code in (452, 552) and not reply.enhanced)
