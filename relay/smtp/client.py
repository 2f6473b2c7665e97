# SPDX-License-Identifier: AGPL-3.0-or-later
"""SMTP client: carries one message after another to one server and says what became of each
recipient. Bytes pass unchanged but for dot-stuffing; whom to connect to is decided elsewhere.
"""

from __future__ import annotations

from relay.smtp.commands import encode_body, is_mailbox, mail_command, rcpt_command, refusal
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Features, Peer, Session, Target, Timeouts, establish
from relay.smtp.replies import Outcome, ReplyError, Scope, Stage, Verdict
from relay.smtp.tls import Contexts
from relay.smtp.transaction import OnDot, Prepared, Transaction
from relay.smtp.wire import Lost


class Connection:
    """One session with one server. Not for concurrent use; ``usable`` says whether to go on."""

    def __init__(self, session: Session, timeouts: Timeouts) -> None:
        self._session = session
        self._timeouts = timeouts
        self._broken = False
        self._dirty = False  # a transaction was left open: RSET comes before the next
        self.sent = 0

    @classmethod
    async def open(
        cls, target: Target, *, ehlo_name: str, contexts: Contexts, timeouts: Timeouts | None = None
    ) -> Connection:
        """Connect, encrypt and sign in as the target's policy says. Raises SessionError."""
        limits = timeouts or Timeouts()
        session = await establish(target, ehlo_name=ehlo_name, contexts=contexts, timeouts=limits)
        return cls(session, limits)

    @property
    def peer(self) -> Peer:
        """Who is at the other end, with the evidence of TLS."""
        return self._session.peer

    @property
    def features(self) -> Features:
        """What the server announced."""
        return self._session.features

    @property
    def certificate(self) -> bytes:
        """The server's certificate, checked or not (DER); empty in clear."""
        return self._session.wire.certificate

    @property
    def usable(self) -> bool:
        """Whether another message may follow."""
        wire = self._session.wire
        return not (self._broken or wire.ended or wire.pending)

    async def send(self, envelope: Envelope, content: bytes, on_dot: OnDot) -> list[Outcome | None]:
        """Return one outcome per recipient, in order; None: not in this transaction, send again.

        One transaction for each call, so that what became of its recipients can be written before
        the next begins. A server that takes fewer recipients at once took some of them, so
        calling again with the rest comes to an end.

        ``on_dot`` is awaited with the places of the recipients that the server took, when the whole
        body has been sent and before the final dot; if it raises, no dot is sent and the error
        passes through. Raises Stale when a reused connection turns out dead before the server has
        answered anything.
        """
        refused = refusal(envelope, content, self._session.features)
        if refused is not None:
            return [self._ours(Scope.POLICY, *refused)] * len(envelope.recipients)
        try:
            outcomes = await self._send(envelope, content, on_dot)
        except BaseException:
            # Closing without the dot is the only way to take a body back (RFC 5321 §4.1.1.4).
            self.abort()
            raise
        self.sent += 1
        return [outcomes.get(index) for index in range(len(envelope.recipients))]

    async def _send(self, envelope: Envelope, content: bytes, on_dot: OnDot) -> dict[int, Outcome]:
        outcomes, commands = self._sort(envelope.recipients)
        if not commands:
            return outcomes
        mail = mail_command(envelope, content, self._session.features)
        addresses = tuple(recipient.address for recipient in envelope.recipients)
        message = Prepared(mail, commands, addresses, *encode_body(content))
        transaction = Transaction(self._session, self._timeouts, message, on_dot)
        again = await transaction.run(reset=self._dirty, reused=self.sent > 0)
        self._dirty = transaction.dirty
        if transaction.broken:
            self.abort()
        decided = (index for index in commands if index not in again)
        return outcomes | {index: transaction.outcomes[index] for index in decided}

    def _sort(
        self, recipients: tuple[Recipient, ...]
    ) -> tuple[dict[int, Outcome], dict[int, bytes]]:
        """Return outcomes of addresses that cannot be sent, and RCPT commands for the others."""
        outcomes: dict[int, Outcome] = {}
        commands: dict[int, bytes] = {}
        for index, recipient in enumerate(recipients):
            if is_mailbox(recipient.address):
                commands[index] = rcpt_command(recipient, self._session.features)
            else:
                text = "the recipient's address cannot be sent"
                outcomes[index] = self._ours(Scope.RECIPIENT, "5.1.3", text)
        return outcomes, commands

    def _ours(self, scope: Scope, enhanced: str, text: str) -> Outcome:
        """A permanent outcome that was decided here, without a reply."""
        peer = self._session.peer
        return peer.outcome(Verdict.BOUNCED, scope, enhanced, text, stage=Stage.MAIL)

    async def close(self) -> None:
        """Say QUIT and wait briefly for the answer."""
        try:
            if self.usable:
                self._session.wire.write(b"QUIT\r\n")
                await self._session.wire.reply(self._timeouts.goodbye)
        except (Lost, ReplyError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._broken = True
        self._session.wire.abort("closed here")
