# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes into the queue and comes out of it, as plain values. No SQL, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.replies import Outcome, mask_addresses


class StoreUnavailable(Exception):
    """Nothing is known to be stored: the client gets 451, never 250."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What the log holds of a message beside its envelope, by the profile it was accepted under."""

    profile: str = "minimal"  # of LogChoice.Profile
    subject: str = ""
    names: tuple[str, ...] = ()  # of the recipients as shown, in the envelope's order; or none
    header: str | None = field(default=None, repr=False)
    header_hash: bytes | None = None  # 16 octets, by which its Message-ID is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message as it is to be stored; `content` holds the final bytes, trace headers included."""

    id: UUID  # version 7; its timestamp is `accepted_at`, in milliseconds
    accepted_at: datetime
    organisation_id: UUID
    credential_id: UUID | None
    # Without a default: whoever makes a message says whether it may leave.
    is_sandbox: bool
    envelope: Envelope
    content: bytes = field(repr=False)
    tls_version: str = ""
    tls_cipher: str = ""
    is_notification: bool = False
    # With the null reverse-path: the domain whose route serves the mail.
    author_domain: str = ""
    require_tls: bool = False  # whether the message itself asks for it
    # Whether its sender waives what the recipient's domain asks for (RFC 8689 §3).
    tls_optional: bool = False
    logged: Logged = Logged()

    @property
    def domain(self) -> str:
        """The domain whose route serves the mail."""
        return self.envelope.sender.rpartition("@")[2] or self.author_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """One delivery under a shift's lease; `fence` tells this lease from every earlier one."""

    id: int
    fence: int
    position: int
    recipient: Recipient
    attempts: int
    expires_at: datetime
    reason: str
    possible_duplicate: bool
    delayed_notice_at: datetime | None
    is_cancelled: bool = False
    strikes: int = 0  # how often this service itself failed at it
    due_at: datetime | None = None  # known where the lease is no try
    is_ending: bool = False  # handed out whatever is held
    is_suspect: bool = False  # whoever had it before is gone, perhaps because of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The leased deliveries of one message, with its envelope and its sealed content."""

    message_id: UUID
    accepted_at: datetime
    organisation_id: UUID
    is_sandbox: bool
    require_tls: bool = False
    tls_optional: bool = False
    sender: str
    domain: str  # whose route serves the mail, as A-label
    body: str
    smtputf8: bool
    ret: str
    envid: str
    # Empty when the content row is gone, which only a restore can bring about.
    hour_key_id: str
    wrapped_key: bytes = field(repr=False)
    ciphertext: bytes | None = field(repr=False)  # None: too large for a claim, read by itself
    octets: int = 0  # of the ciphertext
    deliveries: tuple[Leased, ...]

    @property
    def tells_nobody(self) -> bool:
        """Whether nobody must be told of its failure (RFC 5321 §6.1)."""
        return not self.sender

    def envelope(self, deliveries: tuple[Leased, ...]) -> Envelope:
        """Return the envelope as the client gave it, for some of its recipients."""
        return Envelope(
            sender=self.sender,
            recipients=tuple(delivery.recipient for delivery in deliveries),
            body=self.body,
            smtputf8=self.smtputf8,
            ret=self.ret,
            envid=self.envid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What one attempt came to, and when."""

    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    kind: str = ""  # of Route.Kind

    def row(self, known: tuple[str, ...]) -> Iterator[Any]:
        """Yield the attempt's columns; `known` addresses are masked in the remote's words."""
        outcome = self.outcome
        yield from (True, self.started_at, self.finished_at, str(outcome.verdict))
        yield from (storable(outcome.remote_host, 255), storable(outcome.remote_address, 64))
        yield from (storable(outcome.tls_version, 10), storable(outcome.tls_cipher, 60))
        yield from (outcome.tls_verified, str(outcome.tls_demand), str(outcome.tls_result))
        yield from (self.kind, str(outcome.scope), outcome.is_hard)
        yield from (outcome.code, storable(outcome.enhanced, 12))
        yield storable(mask_addresses(outcome.text, known), 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A claim: of how many deliveries, and of whom how many; relay/turns.py makes them.

    A turn is an organisation and a domain. Who is not named has nothing in hand, and may take
    what is `fresh`. `chance`, in [0, 1), rounds the fifth that mail tried before gets beside new.
    """

    limit: int
    fresh: int = 200  # of an organisation
    fresh_turn: int = 200
    rooms: tuple[tuple[UUID, int], ...] = ()
    turns: tuple[tuple[UUID, str, int], ...] = ()
    # Turns whose next hop takes nothing for now: only what needs none is taken of them.
    left_out: tuple[tuple[UUID, str], ...] = ()
    after: UUID = UUID(int=0)  # only organisations that come after it, in order
    named: tuple[UUID, ...] = ()  # or only these; none: all
    resume: tuple[tuple[UUID, str], ...] = ()  # from which domain on to look at one
    chance: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim gave, and where the next one goes on."""

    works: tuple[Work, ...]
    # Turns that may have more due than they were given.
    hungry: frozenset[tuple[UUID, str]] = frozenset()
    seen: UUID | None = None  # the last organisation it came to; None: all of them
    # From which domain on an organisation with very many is looked at next; '' for the first.
    resume: tuple[tuple[UUID, str], ...] = ()
    broken: tuple[tuple[int, int], ...] = ()  # id and fence of leased rows that cannot be read


_NOT_TRIED = (False, None, None, "", "", "", "", "", False, "", "", "", "", False, 0, "", "")

# Names of the columns that Settlement.row() yields, in order.
SETTLED = (
    "id fence state at due_at reason possible_duplicate delayed_notice_at suppress tried "
    "started_at finished_at verdict remote_host remote_address tls_version tls_cipher "
    "tls_verified tls_demand tls_result kind scope is_hard code enhanced reply"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What becomes of one leased delivery: a final `state`, or waiting with a due time."""

    delivery: Leased
    state: str
    at: datetime
    due_at: datetime | None = None
    reason: str = ""  # why it waits; or why it ended, where state and attempt do not say it
    possible_duplicate: bool = False
    delayed_notice_at: datetime | None = None
    suppress: bytes | None = None  # the hash of an address that gets no more mail
    tried: Tried | None = None  # absent when nothing was tried: cancelled, expired on the way

    def row(self, work: Work) -> Iterator[Any]:
        """Yield the columns named by SETTLED, as the queue writes them."""
        lease = self.delivery
        yield from (lease.id, lease.fence, self.state, self.at, self.due_at, self.reason)
        yield from (self.possible_duplicate, self.delayed_notice_at, self.suppress)
        known = (lease.recipient.address, work.sender)
        yield from _NOT_TRIED if self.tried is None else self.tried.row(known)


def storable(text: str, most: int) -> str:
    """Cut a remote's text to what a column takes: no NUL and no lone surrogate in PostgreSQL."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:most]
