# SPDX-License-Identifier: AGPL-3.0-or-later
"""The policy of the submission server: who signs in, who may send as whom, and how much.

Decisions, each one tested:

* a credential that is blocked, or that is used from outside its networks, is answered as a wrong
  password is, and counts as a guess as well; on a connection that is open the block is named, and
  who is no longer in the networks is hung up on;
* a client in a network that a credential allows it for needs no secret for mail from that
  organisation's domains, but TLS all the same, and the mail does not bear the mark of a sign-in
  (`A` in RFC 3848); each message is asked about anew, and what is nobody's is asked to sign in;
* the null reverse-path is open to every credential, because a customer's own mail server relays
  notifications with the one that it has; From is checked as always, and at the end of DATA the
  list of who gets no mail of its domain as well. From says whose a message is where several
  credentials name the network: then all that MAIL and RCPT are asked is asked there too, of the
  message as a whole;
* a recipient is counted when it is accepted, whatever becomes of the message.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts import limits, vault
from accounts.ids import uuid7, uuid7_time
from accounts.models import Organisation
from relay import logfields
from relay.limits import DAY, MINUTE, Allowance, SignInGate
from relay.queue import Accepted, StoreUnavailable
from relay.senders import Sender, Senders
from relay.smtp import answers, headers
from relay.smtp.addresses import Address, host_name
from relay.smtp.answers import Answer
from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.policy import Client, Submitted

SECRET_PURPOSE = "smtp-credential"  # noqa: S105 - the name of a purpose
_KEY_PURPOSE = "sign-in-limit"
# Compared with when the name is unknown. The look-up before takes a fraction of a millisecond less
# for an unknown name, and none for one in use: a name is 80 random bits, which no time gives away.
_NOBODY = bytes(32)


class Storage(Protocol):
    """Where accepted mail goes (relay/queue)."""

    async def store(self, message: Accepted) -> None:
        """Return after the commit. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a connection proved; everything else is looked up again for each message."""

    username: str
    secret_hash: bytes = field(repr=False)
    owner: UUID  # the organisation
    by_network: bool = False


@dataclass(frozen=True, slots=True)
class Undecided:
    """Under the null reverse-path, in a network that several credentials name.

    Places and memory are counted for those together whose it may be: what somebody does who names
    another's network takes nothing from the other, who is in that network alone.
    """

    owner: frozenset[UUID] | UUID  # the organisations, or the only one


class Submission:
    """Implements relay.smtp.policy.Policy."""

    def __init__(
        self,
        *,
        senders: Senders,
        store: Storage,
        allowance: Allowance,
        gate: SignInGate,
        hostname: str,
        now: Callable[[], datetime],
    ) -> None:
        self._senders = senders
        self._store = store
        self._allowance = allowance
        self._gate = gate
        self._hostname = hostname
        self._now = now

    async def connect(self, client: Client) -> Answer | None:
        """Everybody may try to sign in."""
        return None

    async def authenticate(self, client: Client, username: str, password: str) -> SignedIn | Answer:
        """Same words for an unknown name as for a wrong password; never a wait for one alone."""
        network = limits.network(client.address)
        keys = [_limit_key("address", network), _limit_key("credential", username)]
        token = await self._gate.enter(keys)
        if token is None:
            return answers.THROTTLED
        try:
            sender = await self._senders.find(username)
        except BaseException:
            self._gate.left(keys)
            raise
        shown = vault.keyed_hash(SECRET_PURPOSE, password.encode())
        known = sender.secret_hash if sender else _NOBODY
        is_right = hmac.compare_digest(shown, known)
        if sender is None or not is_right or not _may_enter(sender, client):
            await self._gate.failed(keys, token)
            return answers.WRONG_SIGN_IN
        await self._gate.passed(keys, token)
        self._senders.note_use(sender)
        return SignedIn(username, sender.secret_hash, sender.organisation_id)

    async def recognise(
        self, client: Client, sender: Address | None
    ) -> SignedIn | Undecided | None:
        """No secret is asked for where network and domain together say who it is.

        The null reverse-path has no domain. The name in EHLO is none either: many servers greet by
        one that nobody has proven, or serve several organisations.
        """
        if isinstance(client.identity, SignedIn) and not client.identity.by_network:
            return client.identity
        found = await self._found(client, sender.domain if sender else None)
        if found is not None or sender is not None:
            return found
        owners = await self._senders.owners_at(client.address)
        if not owners:
            return None
        return Undecided(owners if len(owners) > 1 else next(iter(owners)))

    async def _found(self, client: Client, domain: str | None) -> SignedIn | None:
        """Whose mail of a domain (None: of any) is from where the client is, without a secret."""
        username = await self._senders.found_at(client.address, domain)
        who = await self._senders.find(username) if username else None
        if username is None or who is None or not _may_enter(who, client):
            return None
        self._senders.note_use(who)
        return SignedIn(username, who.secret_hash, who.organisation_id, by_network=True)

    async def mail(self, client: Client, sender: Address | None) -> Answer | None:
        """Looked up anew for each message, so that a live connection notices what changed."""
        if isinstance(client.identity, Undecided):
            return None
        who = await self._sender(client, _signed_in(client))
        return answers.REVOKED if who is None else await self._refusal(who, sender)

    async def _refusal(self, who: Sender, sender: Address | None) -> Answer | None:
        if who.is_blocked:
            return answers.BLOCKED
        refusal = _standing_refusal(who)
        if refusal is not None:
            return refusal
        # The null reverse-path is for notifications (RFC 5321 §4.5.5); From is checked anyway.
        if sender is not None and not who.owns(sender.domain):
            return _not_theirs(who, sender, answers.SENDER_DOMAIN)
        if sender is not None and who.must_not_use(str(sender)):
            return answers.RESTRICTED
        if sender is not None and _is_stopped(who, sender.domain):
            return answers.TOO_MANY_BOUNCES
        return await self._amount_refusal(who)

    async def _sender(self, client: Client, identity: SignedIn) -> Sender | None:
        who = await self._senders.find(identity.username)
        # A new secret ends the connections that were opened with the old one.
        if who is None or who.secret_hash != identity.secret_hash:
            return None
        if identity.by_network and not who.is_blocked:
            is_named = await self._senders.names_at(client.address, identity.username)
            return who if is_named else None
        return who if who.admits(client.address) else None

    async def _amount_refusal(self, who: Sender) -> Answer | None:
        name = str(who.credential_id)
        if not await self._allowance.take(name, who.rate_per_minute, MINUTE):
            return answers.OVER_RATE
        if not await self._allowance.take(name, who.daily_cap, DAY):
            return answers.OVER_DAY
        return None

    async def rcpt(self, client: Client, recipient: Recipient) -> Answer | None:
        """Any recipient but those that its organisation must not write to, and so many a day.

        The others of the message pass, so a client sends it again for those refused alone.
        """
        if isinstance(client.identity, Undecided):
            return None
        # Whether it is still them was asked at MAIL, and is asked again before it is stored.
        who = await self._senders.find(_signed_in(client).username)
        domain = client.sender.domain if client.sender else ""
        return None if who is None else await self._recipient_refusal(who, domain, recipient)

    async def _recipient_refusal(
        self, who: Sender, domain: str, recipient: Recipient
    ) -> Answer | None:
        if who.must_not_use(recipient.address):
            return answers.RESTRICTED
        if await self._senders.suppresses(who, _a_label(domain), recipient.address):
            return answers.SUPPRESSED
        if who.recipients_a_day is None:
            return None
        name = f"{who.credential_id}:recipients"
        granted = await self._allowance.take(name, who.recipients_a_day, DAY)
        return None if granted else answers.OVER_RECIPIENTS

    async def accept(self, client: Client, message: Submitted) -> Answer:
        """Check the authors, put the trace in front, and store."""
        who = await self._author(client, message)
        if isinstance(who, Answer):
            return who
        accepted = self._accepted(client, message, who)
        # It waits for the commit as one copy, not as two.
        del message
        try:
            await self._store.store(accepted)
        except StoreUnavailable:
            return answers.FAILED
        self._senders.note_use(who)
        return answers.queued(str(accepted.id), sandbox=who.is_sandbox)

    async def _author(self, client: Client, message: Submitted) -> Sender | Answer:
        """Return who sends it and has proven the domains of From and Sender, or a refusal."""
        author = message.header.authors[0].domain
        is_late = isinstance(client.identity, Undecided)
        identity = await self._found(client, author) if is_late else _signed_in(client)
        if identity is None:
            return answers.AUTHOR_UNKNOWN
        who = await self._sender(client, identity)
        if who is None:
            return answers.REVOKED
        if who.is_blocked:
            return answers.BLOCKED
        shown = (*message.header.authors, *message.header.senders)
        foreign = next((one for one in shown if not who.owns(one.domain)), None)
        if foreign is not None:
            return _not_theirs(who, foreign, answers.AUTHOR_DOMAIN)
        if any(who.must_not_use(str(one)) for one in shown):
            return answers.RESTRICTED
        # Under the null reverse-path nothing was said of the domain before.
        if _is_stopped(who, author):
            return answers.TOO_MANY_BOUNCES
        refuse = self._late_refusal if is_late else self._list_refusal
        return await refuse(who, author, message.envelope) or who

    async def _list_refusal(self, who: Sender, author: str, envelope: Envelope) -> Answer | None:
        """What RCPT could not say of the author's domain, which the null reverse-path hid."""
        for recipient in () if envelope.sender else envelope.recipients:
            if await self._senders.suppresses(who, _a_label(author), recipient.address):
                return answers.SUPPRESSED
        return None

    async def _late_refusal(self, who: Sender, author: str, envelope: Envelope) -> Answer | None:
        """What MAIL and RCPT say elsewhere; one recipient's refusal is the whole message's."""
        refusal = await self._refusal(who, None)
        for recipient in envelope.recipients:
            refusal = refusal or await self._recipient_refusal(who, author, recipient)
        return refusal

    def _accepted(self, client: Client, message: Submitted, who: Sender) -> Accepted:
        identifier = uuid7(self._now())
        return Accepted(
            id=identifier,
            accepted_at=uuid7_time(identifier),
            organisation_id=who.organisation_id,
            credential_id=who.credential_id,
            envelope=message.envelope,
            content=self._traced(client, message, identifier),
            tls_version=client.tls_version,
            tls_cipher=client.tls_cipher,
            is_sandbox=who.is_sandbox,
            require_tls=message.header.controls.require_tls,
            tls_optional=message.header.controls.tls_optional,
            # Checked to be theirs, while the recipient's domain is anybody's.
            author_domain="" if message.envelope.sender else message.header.authors[0].domain,
            logged=logfields.logged(
                message,
                who.organisation_id,
                logfields.tighter(who.profile, message.header.controls.log),
                made_id=f"{identifier}@{self._hostname}",
            ),
        )

    def _traced(self, client: Client, message: Submitted, identifier: UUID) -> bytes:
        trace = headers.Trace(
            hostname=self._hostname,
            queue_id=str(identifier),
            at=uuid7_time(identifier),
            protocol=_protocol(client, utf8=message.envelope.smtputf8),
            tls=client.tls_version,
        )
        return headers.edit(message.content, message.header, trace)


def _signed_in(client: Client) -> SignedIn:
    assert isinstance(client.identity, SignedIn)
    return client.identity


def _may_enter(sender: Sender, client: Client) -> bool:
    return not sender.is_blocked and sender.admits(client.address)


def _not_theirs(who: Sender, address: Address, refusal: Answer) -> Answer:
    """A look that this service owes makes no refusal for good."""
    return answers.UNCHECKED_DOMAIN if who.awaits_check(address.domain) else refusal


def _a_label(domain: str) -> str:
    return domain if domain.isascii() else host_name(domain)


def _is_stopped(who: Sender, domain: str) -> bool:
    """Mail of the sandbox comes back from nowhere, and bothers nobody."""
    return bool(who.stopped) and not who.is_sandbox and _a_label(domain) in who.stopped


def _standing_refusal(who: Sender) -> Answer | None:
    """Permanent when there is no agreement, temporary while somebody has to decide.

    A sandbox credential needs no agreement: nothing of its mail is handed to anybody.
    """
    if who.standing in Organisation.ENDING:
        return answers.NO_AGREEMENT
    if who.standing != Organisation.Standing.GOOD:
        return answers.SUSPENDED
    if who.sending_allowed:
        return None
    stopped = who.sending_reason == Organisation.SendingReason.STAFF
    if stopped:
        return answers.SUSPENDED
    return None if who.is_sandbox else answers.NO_AGREEMENT


def _protocol(client: Client, *, utf8: bool) -> str:
    """The `with` word of Received (RFC 3848 §2, RFC 6531 §4.3): what was said, not who it was.

    None is registered for TLS without EHLO.
    """
    if client.greeting == "HELO" and not utf8:
        return "SMTP"
    word = ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if client.tls_version else "")
    identity = client.identity
    return word + ("A" if isinstance(identity, SignedIn) and not identity.by_network else "")


def _limit_key(kind: str, value: str) -> str:
    return f"sign-in:{kind}:" + vault.keyed_hash(_KEY_PURPOSE, value.encode()).hex()
