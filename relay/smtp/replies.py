# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a remote server answered, and what that means for each recipient.

Parsing and judging of replies (RFC 5321 §4.2, RFC 2034, RFC 3463). No sockets here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

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
# About whom the server serves, never about whether the address exists.
_RELAY_DENIED = re.compile(
    r"\brelay(?:ing)?\b.{0,30}\b(?:denied|prohibited|disallowed|refused|forbidden|rejected|"
    r"not (?:permitted|allowed|authori[sz]ed|supported))\b|"
    r"(?:\bnot (?:permitted|allowed|authori[sz]ed)|\bunable|\bcannot|\bnot|\bdenied|\brefuses?)"
    r" (?:to )?relay\b|"
    r"\bauthentication (?:is )?required\b|\bmust (?:first )?authenticate\b",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"\b(?:spf|dkim|dmarc|polic(?:y|ies)|spam|virus|malware|phishing|content|attachments?|"
    r"unsolicited|bulk|reputation|rate limit|blocked|black\s?list(?:ed)?|block\s?list(?:ed)?|"
    r"white\s?list|junk\s?mail|rbl|helo|reverse dns|authenticat\w+|sender|return.path)\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"\b(?:unknown|invalid|no such|non-?existent) (?:local |e-?mail )?"
    r"(?:user|mailbox|recipient|address|account|person)\b|"
    r"\b(?:user|mailbox|recipient|address|account)\b.{0,40}\b(?:unknown|not found|not exist|"
    r"doesn't exist|not known|disabled|inactive|no longer)\b|"
    r"\bno mailbox (?:here|by that name)\b|\bdoes not have an account\b",
    re.IGNORECASE,
)
_MENTIONED = re.compile(r"<[^<>\s]*>|\S+@\S+")
# Whatever else is said, it is not about the recipient, or not for good.
_SENDER = re.compile(
    r"\b(?:sender(?:'s)? (?:e-?mail )?(?:address|domain|mailbox|account|user|verif\w+|callout|"
    r"callback)|(?:mail|envelope) from|"
    r"from address|return.path|verification failed for|call(?:back|out) verif\w+)\b",
    re.IGNORECASE,
)
_NOT_NOW = re.compile(
    r"\bat a rate\b|\btoo (?:many|much)\b|\blater\b|\btemporar|\bgr[ae]y.?list|"
    r"\blimit exceeded\b",
    re.IGNORECASE,
)
_WANTS_TLS = re.compile(r"\b(?:starttls|tls|ssl)\b|encrypt", re.IGNORECASE)

_SESSION = (Stage.CONNECT, Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
_HOST_CODES = {"7.25"}  # RFC 7372 §3.3: reverse DNS validation failed
# RFC 3463 §3.2 and §3.3, RFC 7505 §4.2: the address, its domain or its mailbox is no more.
_GONE = {"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"}
_MAILBOX_FULL, _SYSTEM_FULL = "2.2", "3.1"  # RFC 3463 §3.3 and §3.4
_VAGUE = {"", "0.0", "1.0", "2.0"}  # what these say is no more than whom it is about


class Judgement(NamedTuple):
    """What a reply means: what happens next, who is to blame, and whether it is so for good.

    ``is_hard``: no mail can reach the address, this one or a later one.
    """

    verdict: Verdict
    scope: Scope
    is_hard: bool = False


_DEFERRED = Judgement(Verdict.RETRY, Scope.INFRASTRUCTURE)


def judge(reply: Reply, stage: Stage, *, is_mx: bool = False) -> Judgement:
    """Say what a reply at this stage means for the recipients it concerns.

    ``is_mx``: the server was found in the DNS; otherwise a customer has named it, who answers for
    how it is reached and signed in to.
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
        return _judge_permanent(reply, stage, is_mx=is_mx)
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


def _judge_permanent(reply: Reply, stage: Stage, *, is_mx: bool) -> Judgement:
    if reply.code in (530, 534, 535, 538):  # RFC 4954 §6: our sign-in is missing or refused
        # RFC 3207 §4: 530 may ask for STARTTLS instead. No MX host has any sign-in to refuse.
        signs_in = not is_mx and not demands_tls(reply.text)
        return Judgement(Verdict.RETRY, Scope.ROUTE) if signs_in else _DEFERRED
    if _mailbox_full(reply, stage):
        is_system = reply.subject == _SYSTEM_FULL
        return Judgement(Verdict.RETRY, Scope.INFRASTRUCTURE if is_system else Scope.RECIPIENT)
    if refuses_host(reply.enhanced, reply.text):
        return _DEFERRED
    return Judgement(Verdict.BOUNCED, *_blame(reply, stage))


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


def _mailbox_full(reply: Reply, stage: Stage) -> bool:
    """RFC 5321 uses 552 for a full mailbox, RFC 1870 for a message over the size limit."""
    if reply.subject in (_MAILBOX_FULL, _SYSTEM_FULL):
        return True
    if reply.subject not in _VAGUE | _GONE or stage not in (Stage.RCPT, Stage.DOT):
        return False
    if reply.subject in _GONE:
        words = _MENTIONED.sub(" ", reply.text)
        return bool(_FULL.search(words)) and not _UNKNOWN.search(words)
    if _FULL.search(reply.text):
        return True
    return reply.code == 552 and (stage is Stage.RCPT or not _TOO_BIG.search(reply.text))


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


def _blame(reply: Reply, stage: Stage) -> tuple[Scope, bool]:
    """Who is to blame for a refusal for good, and whether it is hard.

    The enhanced code counts first. Words can always clear the address, and blame it only where no
    code speaks against that.
    """
    scope = _scope(reply, stage)
    if scope is not Scope.RECIPIENT:
        return scope, False
    if _RELAY_DENIED.search(reply.text):
        return Scope.POLICY, False
    if reply.subject in _GONE:
        return _blame_as_gone(reply)
    if reply.subject not in _VAGUE:
        return scope, False
    if _POLICY.search(reply.text) or _SENDER.search(reply.text):
        return Scope.POLICY, False
    return scope, bool(_UNKNOWN.search(reply.text)) and not _NOT_NOW.search(reply.text)


def _blame_as_gone(reply: Reply) -> tuple[Scope, bool]:
    """Whether the words bear out a code by which the address is no more.

    Servers send such codes with refusals of every kind. X.2.1 may be for a time (RFC 3463 §3.3), so
    there the words have to say that it is not.
    """
    words = _MENTIONED.sub(" ", reply.text)
    is_unknown = bool(_UNKNOWN.search(words))
    if _SENDER.search(words) or (_POLICY.search(words) and not is_unknown):
        return Scope.POLICY, False
    if _NOT_NOW.search(words):
        return Scope.RECIPIENT, False
    says_nothing = not words.strip(" .;:-0123456789")
    return Scope.RECIPIENT, is_unknown or says_nothing or reply.subject != "2.1"


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
