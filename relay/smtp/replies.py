# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a remote server answered, and what that means for each recipient.

Parsing and judging of replies (RFC 5321 §4.2, RFC 2034, RFC 3463). No sockets here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# RFC 5321 §4.5.3.1.5 allows 512 octets a line; real servers go beyond it, hostile ones without end.
MAX_LINE = 4096
MAX_LINES = 128
MAX_UNREAD = 64 * 1024
MAX_TEXT = 500


class Verdict(StrEnum):
    """What happens to the delivery next."""

    DELIVERED = "delivered"
    RETRY = "retry"
    BOUNCED = "bounced"


class Scope(StrEnum):
    """Who is to blame; only RECIPIENT may ever count against the address."""

    RECIPIENT = "recipient"
    POLICY = "policy"
    INFRASTRUCTURE = "infrastructure"
    ROUTE = "route"


class Stage(StrEnum):
    """The point of the dialogue at which a reply came; the same code means different things."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one attempt for one recipient.

    ``code`` 0 means that no reply was seen. ``text`` is the remote's own text, at most
    500 characters, and may hold addresses: mask_addresses() before it reaches a log.
    ``after_dot``: the final dot was sent and no reply was seen: the far end may have the message.
    ``took_dsn``: it was taken together with what notifications the sender wants (RFC 3461).
    ``stage``: where the dialogue stood; None when there was none. ``is_hard``: the address itself
    will not take mail later either. ``tls_demand`` and ``tls_result``: TlsDemand and TlsResult,
    empty where no channel was asked for.
    """

    verdict: Verdict
    scope: Scope
    code: int = 0
    enhanced: str = ""
    text: str = ""
    remote_host: str = ""
    remote_address: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    tls_verified: bool = False
    tls_demand: str = ""
    tls_result: str = ""
    after_dot: bool = False
    took_dsn: bool = False
    stage: Stage | None = None
    is_hard: bool = False


class ReplyError(Exception):
    """The remote's bytes are not a reply, or exceed the bounds above."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply: its code and its lines without the code."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The remote's text on one line, printable, at most MAX_TEXT characters."""
        return bounded_text(" ".join(line for line in self.lines if line))

    @property
    def enhanced(self) -> str:
        """Enhanced status code with the class of the reply code, or "" when none was given."""
        match = _ENHANCED.match(self.lines[-1]) or _ENHANCED.match(self.lines[0])
        # RFC 3463 §2: the class repeats the reply's first digit; on conflict the code wins.
        return f"{self.code // 100}.{match[2]}" if match else ""


_ENHANCED = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})(?=\s|$)")
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


def bounded_text(text: str) -> str:
    """Return printable text of at most MAX_TEXT characters, cut between words.

    A cut inside an address would leave half of it unrecognisable to the masking.
    """
    clean = _UNPRINTABLE.sub(" ", text).strip()
    if len(clean) <= MAX_TEXT:
        return clean
    head = clean[: MAX_TEXT - 1]
    return head.rpartition(" ")[0] + "…" if " " in head else "…"


class ReplyReader:
    """Collects bytes from the remote and hands out complete replies; bounded in every direction."""

    __slots__ = ("_buffer", "_lines")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[str] = []

    def feed(self, data: bytes) -> None:
        """Add bytes from the wire. Raises ReplyError when more than MAX_UNREAD wait."""
        self._buffer += data
        if len(self._buffer) > MAX_UNREAD:
            raise ReplyError("the remote sends without being asked")

    @property
    def pending(self) -> bool:
        """Whether anything was received that no one has asked for yet."""
        return bool(self._buffer or self._lines)

    def take(self) -> Reply | None:
        """Return the next complete reply, or None until more bytes come. Raises ReplyError."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            reply = self._add(line)
            if reply is not None:
                return reply
        if len(self._buffer) > MAX_LINE:
            raise ReplyError("reply line too long")
        return None

    def _add(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line) if len(line) <= MAX_LINE else None
        if match is None:
            raise ReplyError("not an SMTP reply")
        self._lines.append((match[3] or b"").decode("utf-8", "replace"))
        if match[2] == b"-":
            if len(self._lines) >= MAX_LINES:
                raise ReplyError("reply has too many lines")
            return None
        # RFC 5321 §4.2.1: every line carries the same code; if not, the last line decides.
        lines, self._lines = tuple(self._lines), []
        return Reply(int(match[1]), lines)


# Replies that refuse the sending host rather than this mail: DNS block lists and reputation.
# A blocked link or attachment is about the message, so a word for the host has to be near.
_HOST_REFUSED = re.compile(
    r"blocked using|listed (?:at|by|in|on) \S*(?:bl|spamhaus|spamcop|barracuda)\b|"
    r"(?:client host|(?:your|sending|source|this|sender|connecting) (?:ip|host|server|network|mta)|"
    r"ip address|\[[0-9a-f.:]{3,45}\]).{0,80}"
    r"(?:block|black|deny|denied|banned|listed|reputation|reverse dns|rdns|ptr record)|"
    r"(?:block|black)\s?listed.{0,40}\bip\b|banned sending ip|(?:no|missing) (?:ptr|reverse dns)",
    re.IGNORECASE,
)
_TOO_BIG = re.compile(r"\bsize\b|too (?:big|large)|exceeds.{0,40}limit", re.IGNORECASE)

_SESSION = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
_HOST_CODES = {"7.25"}  # RFC 7372 §3.3: reverse DNS validation failed


def judge(reply: Reply, stage: Stage) -> tuple[Verdict, Scope]:
    """Say what a reply at this stage means for the recipients it concerns."""
    kind = reply.code // 100
    # RFC 5321 §3.8: 421 closes the channel whatever was asked; it refuses nothing for good.
    if reply.code == 421:
        return Verdict.RETRY, Scope.INFRASTRUCTURE
    if stage in _SESSION:
        return _judge_session(reply, stage)
    if kind == 2 and stage is Stage.DOT:
        return Verdict.DELIVERED, Scope.RECIPIENT
    if kind == 4:
        return Verdict.RETRY, _scope(reply, stage)
    if kind == 5:
        return _judge_permanent(reply, stage)
    return Verdict.RETRY, Scope.INFRASTRUCTURE  # an answer to something else: out of step


def _judge_session(reply: Reply, stage: Stage) -> tuple[Verdict, Scope]:
    """Refusals before MAIL are about the host, the route or us: no recipient was named yet."""
    # RFC 7504 §3: a host that answers 521 never accepts mail, unless it says it means only us.
    if reply.code in (521, 556) and stage in (Stage.GREETING, Stage.EHLO):
        return _unless_host_refused(reply, Scope.INFRASTRUCTURE)
    if stage is Stage.AUTH and reply.code >= 500:
        return Verdict.RETRY, Scope.ROUTE
    return Verdict.RETRY, Scope.INFRASTRUCTURE


def _judge_permanent(reply: Reply, stage: Stage) -> tuple[Verdict, Scope]:
    if reply.code in (530, 534, 535, 538):  # RFC 4954 §6: our sign-in is missing or refused
        return Verdict.RETRY, Scope.ROUTE
    if reply.code == 552 and _mailbox_full(reply, stage):
        return Verdict.RETRY, Scope.RECIPIENT
    return _unless_host_refused(reply, _scope(reply, stage))


def _unless_host_refused(reply: Reply, scope: Scope) -> tuple[Verdict, Scope]:
    subject = reply.enhanced.partition(".")[2]
    about_content = subject.startswith("6.")
    if subject in _HOST_CODES or (not about_content and _HOST_REFUSED.search(reply.text)):
        return Verdict.RETRY, Scope.INFRASTRUCTURE
    return Verdict.BOUNCED, scope


def _mailbox_full(reply: Reply, stage: Stage) -> bool:
    """RFC 5321 uses 552 for a full mailbox, RFC 1870 for a message over the size limit."""
    if reply.enhanced:
        return reply.enhanced not in ("5.3.4", "5.2.3")
    return stage is Stage.RCPT or (stage is Stage.DOT and not _TOO_BIG.search(reply.text))


_SCOPE_OF_SUBJECT = {
    "1": Scope.RECIPIENT,
    "2": Scope.RECIPIENT,
    "3": Scope.INFRASTRUCTURE,
    "4": Scope.INFRASTRUCTURE,
    "5": Scope.POLICY,
    "6": Scope.POLICY,
    "7": Scope.POLICY,
}
# RFC 3463 §3.2: these X.1.* codes are about the sender's address, not the recipient's.
_ABOUT_SENDER = {"1.7", "1.8", "1.9"}


def _scope(reply: Reply, stage: Stage) -> Scope:
    subject = reply.enhanced.partition(".")[2]
    if reply.code == 521:
        return Scope.INFRASTRUCTURE
    if stage is Stage.MAIL or subject in _ABOUT_SENDER or subject == "3.4":
        return Scope.POLICY if reply.code >= 500 else Scope.INFRASTRUCTURE
    if subject and subject[0] in _SCOPE_OF_SUBJECT:
        return _SCOPE_OF_SUBJECT[subject[0]]
    if stage is Stage.RCPT:
        return Scope.RECIPIENT
    return Scope.POLICY if reply.code >= 500 else Scope.INFRASTRUCTURE


# Any run of address characters around an at-sign, the encoded at-signs of VERP and URLs included;
# generous on purpose: masking too much costs a word, masking too little a person's address.
_ADDRESS = re.compile(
    r"\"(?:[^\"\\]|\\.)*\"(?:@|%40|=40|\uff20)[^\s<>()\"',;]*|"
    r"(?<![^\s<>()\"',;:@\[\]])[^\s<>()\"',;:@\[\]]+(?:@|%40|=40|\uff20)[^\s<>()\"',;]*",
    re.IGNORECASE,
)
MASK = "***"


def mask_addresses(text: str, known: Iterable[str] = ()) -> str:
    """Replace every e-mail address in a remote's text, and the local parts of known addresses.

    Servers also write "hansen: no such user"; pass the envelope's addresses to mask those.
    """
    masked = _ADDRESS.sub(MASK, text)
    for address in known:
        local = address.rpartition("@")[0] or address
        # Looked for first: the pattern of a new recipient takes 40 µs, 5 % of a whole delivery.
        if local and local.casefold() in masked.casefold():
            masked = re.sub(rf"(?<!\w){re.escape(local)}(?!\w)", MASK, masked, flags=re.IGNORECASE)
    return masked
