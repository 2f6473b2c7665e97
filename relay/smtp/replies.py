# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a remote server answered, and what that means for each recipient.

Parsing and judging of replies (RFC 5321 §4.2, RFC 2034, RFC 3463). No sockets here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from relay.smtp import wording
from relay.smtp.wording import Words

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

    @property
    def subject(self) -> str:
        """The enhanced code without its class, such as "1.1"."""
        return self.enhanced.partition(".")[2]


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
_FULL = re.compile(
    r"\b(?:mailbox|inbox|maildir|quota|storage|disk)\b.{0,40}\b(?:full|exceeded|over|exhausted)\b|"
    r"\bover\s?quota\b|insufficient (?:disk|storage|system storage)",
    re.IGNORECASE,
)
_WANTS_TLS = re.compile(r"\b(?:starttls|tls|ssl)\b|encrypt", re.IGNORECASE)

_SESSION = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
_HOST_CODES = {"7.25"}  # RFC 7372 §3.3: reverse DNS validation failed
# RFC 3463 §3.2 and §3.3, RFC 7505 §4.2: the address, its domain or its mailbox is no more.
_GONE = {"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"}
# Those of them that are about the address alone, and need no words.
_WORDLESS = {"1.1", "1.6"}
_MAILBOX_FULL, _SYSTEM_FULL = "2.2", "3.1"  # RFC 3463 §3.3 and §3.4
_VAGUE = {"", "0.0", "1.0", "2.0"}  # what these say is no more than whom it is about
# "Delivery not authorized": some servers send it with every refusal at RCPT.
_REFUSED = "7.1"


class Judgement(NamedTuple):
    """What a reply means: what happens next, who is to blame, and whether it is so for good.

    ``is_hard``: no mail can reach the address, this one or a later one.
    """

    verdict: Verdict
    scope: Scope
    is_hard: bool = False


_DEFERRED = Judgement(Verdict.RETRY, Scope.INFRASTRUCTURE)


def judge(
    reply: Reply, stage: Stage, recipients: Collection[str] = (), *, is_mx: bool = False
) -> Judgement:
    """Say what a reply at this stage means for the recipients it concerns.

    ``recipients``: their addresses, as far as they are known: one that the reply names and that is
    none of them is somebody else's. ``is_mx``: the server was found in the DNS; otherwise a
    customer has named it, who answers for how it is reached and signed in to.
    """
    kind = reply.code // 100
    # RFC 5321 §3.8: 421 closes the channel whatever was asked; it refuses nothing for good.
    if reply.code == 421:
        return _DEFERRED
    if stage in _SESSION:
        return _judge_session(reply, stage, is_mx=is_mx)
    if kind == 2 and stage is Stage.DOT:
        return Judgement(Verdict.DELIVERED, Scope.RECIPIENT)
    if kind == 4:
        return Judgement(Verdict.RETRY, _scope(reply, stage))
    if kind == 5:
        return _judge_permanent(reply, stage, recipients, is_mx=is_mx)
    return _DEFERRED  # an answer to something else: out of step


def _judge_session(reply: Reply, stage: Stage, *, is_mx: bool) -> Judgement:
    """Refusals before MAIL are about the host, the route or us: no recipient was named yet."""
    # RFC 7504 §3: an MX host that answers 521 never accepts mail, unless it says it means only us.
    # A server that a customer has named is to be mended or named anew, and the mail waits for it.
    closed = reply.code in (521, 556) and stage in (Stage.GREETING, Stage.EHLO)
    if is_mx and closed and not refuses_host(reply.enhanced, reply.text):
        return Judgement(Verdict.BOUNCED, Scope.INFRASTRUCTURE)
    if stage is Stage.AUTH and reply.code >= 500:
        return Judgement(Verdict.RETRY, Scope.ROUTE)
    return _DEFERRED


def _judge_permanent(
    reply: Reply, stage: Stage, recipients: Collection[str], *, is_mx: bool
) -> Judgement:
    if reply.code in (530, 534, 535, 538):  # RFC 4954 §6: our sign-in is missing or refused
        # RFC 3207 §4: 530 may ask for STARTTLS instead. No MX host has any sign-in to refuse.
        signs_in = not is_mx and not demands_tls(reply.text)
        return Judgement(Verdict.RETRY, Scope.ROUTE) if signs_in else _DEFERRED
    words = wording.read(reply.text, recipients)
    if _is_gone(reply, stage, words):
        return Judgement(Verdict.BOUNCED, Scope.RECIPIENT, is_hard=True)
    if _mailbox_full(reply, stage, words):
        is_system = reply.subject == _SYSTEM_FULL
        return Judgement(Verdict.RETRY, Scope.INFRASTRUCTURE if is_system else Scope.RECIPIENT)
    if refuses_host(reply.enhanced, reply.text):
        return _DEFERRED
    return Judgement(Verdict.BOUNCED, _blame(reply, stage, words))


def refuses_host(enhanced: str, text: str) -> bool:
    """Whether a refusal is about the host that connects, not about this mail."""
    subject = enhanced.partition(".")[2]
    about_content = subject.startswith("6.")
    return subject in _HOST_CODES or (not about_content and bool(_HOST_REFUSED.search(text)))


def is_host_refusal(outcome: Outcome) -> bool:
    """Whether a server refused for good the host that connects: its operator has to mend that."""
    return (
        outcome.code >= 500
        and outcome.verdict is Verdict.RETRY
        and refuses_host(outcome.enhanced, outcome.text)
    )


def demands_tls(text: str) -> bool:
    """Whether a refusal asks for an encrypted channel."""
    return bool(_WANTS_TLS.search(text))


def _is_gone(reply: Reply, stage: Stage, words: Words) -> bool:
    """Whether the address itself is refused, and for good.

    A code of another kind wins over all words. After the whole mail a refusal is about that, unless
    the code or the address it names says otherwise.
    """
    if stage not in (Stage.RCPT, Stage.DOT) or reply.code == 521:
        return False
    if reply.subject not in _GONE | _VAGUE | {_REFUSED}:
        return False
    if words.says_nothing:
        return reply.subject in _WORDLESS
    is_about_address = stage is Stage.RCPT or reply.subject in _GONE or words.names_recipient
    return is_about_address and words.says_gone


def _mailbox_full(reply: Reply, stage: Stage, words: Words) -> bool:
    """RFC 5321 uses 552 for a full mailbox, RFC 1870 for a message over the size limit."""
    if reply.subject in (_MAILBOX_FULL, _SYSTEM_FULL):
        return True
    if reply.subject not in _VAGUE | _GONE or stage not in (Stage.RCPT, Stage.DOT):
        return False
    if _FULL.search(words.plain):
        return True
    is_552 = reply.code == 552 and reply.subject in _VAGUE
    return is_552 and (stage is Stage.RCPT or not _TOO_BIG.search(words.plain))


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
# RFC 3463 §3.3 and §3.4: the message is too long for the mailbox or the system.
_TOO_LONG = {"2.3", "3.4"}


def _blame(reply: Reply, stage: Stage, words: Words) -> Scope:
    """Who is to blame for a refusal that says no more than that; words can always clear them."""
    scope = _scope(reply, stage)
    is_cleared = scope is Scope.RECIPIENT and (words.names_other or words.is_of_policy)
    return Scope.POLICY if is_cleared else scope


def _scope(reply: Reply, stage: Stage) -> Scope:
    subject = reply.subject
    if reply.code == 521:
        return Scope.INFRASTRUCTURE
    if stage is Stage.MAIL or subject in _ABOUT_SENDER or subject in _TOO_LONG:
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


def addresses_in(text: str) -> list[str]:
    """Return what looks like an e-mail address in somebody's text."""
    return [found.group().rstrip(".") for found in _ADDRESS.finditer(text)]


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
