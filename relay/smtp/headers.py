# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a submission server has to know and to change in a header, on the bytes themselves.

The message is never parsed into a tree and never written anew: a round trip through an e-mail
library changes folding and boundaries, and breaks S/MIME, OpenPGP and DKIM signatures. Edits only
leave out whole fields and put whole fields in front (RFC 6409 §8).

Decisions, each one tested:

* From may name several authors without a Sender, which RFC 5322 §3.6.2 asks for: each author is
  checked (submission.py), and a Sender that nobody wrote is not made up;
* From and Sender take no group, route, domain literal or encoded address (mailboxes.py); a quoted
  local part and an IDNA domain are read as an envelope's are (addresses.py);
* Resent-* fields travel on as they came, because they tell how a message came to be sent again
  (RFC 5322 §3.6.6); Resent-From and Resent-Sender are checked as From and Sender are, and
  Resent-Bcc is taken out as Bcc is;
* Return-Path and an Authentication-Results that speaks in our name are taken out, and so are the
  fields of controls.py;
* To and Cc are never read: the envelope alone says who receives a message;
* a missing Message-ID is made under the relay's own host name, which nobody else makes any under,
  with the queue's number, so that a notification about it leads to the log;
* a loop is 30 fields Received, or more than MOST_OWN of them by this host.

Parts inside parts have no bound here, however deep or cyclic they look: a depth could only be
counted by parsing, nothing in this service does that, and what is not parsed cannot hurt. Size,
line length and the outer header are bounded, and such a message passes as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from relay.smtp import controls, mailboxes
from relay.smtp.addresses import Address, AddressError, host_name
from relay.smtp.controls import Controls

# RFC 5322 §2.1.1 says 998, and HTML mailers exceed it; folding would break signatures, so longer
# lines pass unchanged up to this many octets without CRLF, and are refused beyond it.
LONGEST_LINE = 65_536
LARGEST_HEADER = 262_144  # octets of all header fields together
MOST_FIELDS = 1_000
# RFC 5321 §6.3 asks for a limit of 100 or less; 30 hops are a loop. A loop that leads through here
# each time is known much earlier; a message that is forwarded may well come by again.
MOST_RECEIVED = 29
MOST_OWN = 3

# One field: printable name without colon, no space before the colon (the obsolete form hides a
# second From from some readers), then the text with its folded lines.
_FIELD = re.compile(rb"([!-9;-~]+):((?:[^\r\n]*\r\n[ \t])*[^\r\n]*)\r\n")
_SINGLE = frozenset({b"from", b"sender", b"date", b"message-id", b"reply-to"})
_AUTHORS = frozenset({b"from", b"resent-from"})
_SENDERS = frozenset({b"sender", b"resent-sender"})
# Bcc is for the sender's eyes (RFC 5322 §3.6.3); Return-Path is the last host's (RFC 5321 §4.4).
_DROPPED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_FROM = re.compile(rb"(?:\A|\r\n)from:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE)
_BY = re.compile(rb"(?:^|[ \t])by[ \t]+([^ \t;()]+)", re.IGNORECASE)
_PIECES = re.compile(rb"\\.|[();\\]|[^();\\]+", re.DOTALL)


class Fault(StrEnum):
    """Why a content was refused; for people, without any part of the message."""

    LINE_END = "lines must end with CR LF: a bare CR or a bare LF was found"
    NUL = "the message holds a NUL character"
    LONG_LINE = f"a line is longer than {LONGEST_LINE} octets"
    HEADER_SIZE = f"the header is larger than {LARGEST_HEADER} octets"
    HEADER_COUNT = f"the header has more than {MOST_FIELDS} fields"
    HEADER_SYNTAX = "the header has a line that is no header field"
    REPEATED = "a field that may stand once stands several times"
    FROM_MISSING = "the header has no From field"
    AUTHOR = "From or Sender is not written as RFC 5322 demands"
    CONTROL = "a RELAY- field asks for what cannot be done here"
    LOOP = "the message has passed too many servers: a mail loop"


class ContentError(ValueError):
    """A content that is refused. Its text holds nothing of the message, so it may be logged."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


@dataclass(slots=True)
class Header:
    """What one scan of the header found."""

    end: int = 0  # octets of the header, without the empty line
    authors: list[Address] = field(default_factory=list)  # From, Resent-From
    senders: list[Address] = field(default_factory=list)  # Sender, Resent-Sender
    controls: Controls = field(default_factory=Controls)
    dropped: list[tuple[int, int]] = field(default_factory=list)  # spans that do not travel on
    received: int = 0
    received_here: int = 0
    message_id: bytes = b""  # as it stands there
    names: set[bytes] = field(default_factory=set)

    @property
    def has_date(self) -> bool:
        """Whether the author's program wrote a Date."""
        return b"date" in self.names

    @property
    def has_message_id(self) -> bool:
        """Whether the author's program wrote a Message-ID."""
        return b"message-id" in self.names


def check_lines(content: bytes) -> None:
    """Refuse what another server could read as the end of the message or of a line.

    Raises ContentError. RFC 5321 §2.3.8 and §4.1.1.4: only CRLF ends a line; a bare LF or CR is how
    one message smuggles a second one past a server that reads line ends differently.
    """
    ends = content.count(b"\r\n")
    if content.count(b"\n") != ends or content.count(b"\r") != ends:
        raise ContentError(Fault.LINE_END)
    if b"\0" in content:
        raise ContentError(Fault.NUL)
    # Strides of one permitted line each: linear, whatever the content looks like.
    position, size = 0, len(content)
    while position + LONGEST_LINE < size:
        end = content.rfind(b"\r\n", position, position + LONGEST_LINE + 2)
        if end < 0:
            raise ContentError(Fault.LONG_LINE)
        position = end + 2


def scan(content: bytes, *, utf8: bool = False, hostname: bytes = b"") -> Header:
    """Read the header only. `content` has passed `check_lines`; raises ContentError.

    `hostname` is the relay's own: who it is in Received and in Authentication-Results.
    """
    header = Header(end=_header_end(content))
    for name, value, span in fields(content, header.end):
        _note(header, name, value, span, utf8=utf8)
        if name == b"authentication-results" and _claims(value, hostname):
            header.dropped.append(span)
        elif name == b"received":
            header.received_here += _is_by(value, hostname)
    if b"from" not in header.names:
        raise ContentError(Fault.FROM_MISSING)
    if header.received > MOST_RECEIVED or header.received_here > MOST_OWN:
        raise ContentError(Fault.LOOP)
    return header


def author_domain(content: bytes) -> str:
    """Return the domain of the first author as A-label, empty where none can be read.

    Of a message that was accepted: nothing is checked again.
    """
    end = 0 if content.startswith(b"\r\n") else content.find(b"\r\n\r\n")
    found = _FROM.search(content, 0, len(content) if end < 0 else end)
    try:
        return host_name(mailboxes.parse_list(found[1], utf8=True)[0].domain) if found else ""
    except AddressError:
        return ""


def _header_end(content: bytes) -> int:
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n", 0, LARGEST_HEADER + 4)
    size = end + 2 if end >= 0 else len(content)
    if size > LARGEST_HEADER:
        raise ContentError(Fault.HEADER_SIZE)
    return size


def fields(content: bytes, end: int) -> Iterator[tuple[bytes, bytes, tuple[int, int]]]:
    """Yield name in lower case, text and span of each field of the first `end` octets.

    Raises ContentError.
    """
    position = count = 0
    while position < end:
        found = _FIELD.match(content, position, end)
        count += 1
        if found is None:
            raise ContentError(Fault.HEADER_SYNTAX)
        if count > MOST_FIELDS:
            raise ContentError(Fault.HEADER_COUNT)
        yield found[1].lower(), found[2], found.span()
        position = found.end()


def _note(header: Header, name: bytes, value: bytes, span: tuple[int, int], *, utf8: bool) -> None:
    if name in _SINGLE and name in header.names:
        raise ContentError(Fault.REPEATED)
    header.names.add(name)
    if name in _AUTHORS or name in _SENDERS:
        target = header.authors if name in _AUTHORS else header.senders
        target.extend(_mailboxes(value, single=name in _SENDERS, utf8=utf8))
    elif name == b"received":
        header.received += 1
    elif name == b"message-id":
        header.message_id = value
    elif name in _DROPPED:
        header.dropped.append(span)
    elif name == controls.TLS_REQUIRED:
        header.controls.note(name, value)
    elif name.startswith(controls.PREFIX):
        header.dropped.append(span)
        _control(header, name, value)


def _control(header: Header, name: bytes, value: bytes) -> None:
    try:
        header.controls.note(name, value)
    except controls.Refused:
        raise ContentError(Fault.CONTROL) from None


def _is_by(value: bytes, hostname: bytes) -> bool:
    """Whether a Received field says that this host wrote it (RFC 5321 §4.4, its by clause)."""
    if not hostname:
        return False
    named = _BY.findall(value.replace(b"\r\n", b""))
    return any(name.rstrip(b".").lower() == hostname.lower() for name in named)


def _mailboxes(value: bytes, *, single: bool, utf8: bool) -> tuple[Address, ...]:
    try:
        found = mailboxes.parse_list(value, utf8=utf8)
    except ValueError:
        raise ContentError(Fault.AUTHOR) from None
    if single and len(found) != 1:
        raise ContentError(Fault.AUTHOR)
    return found


def _claims(value: bytes, authserv_id: bytes) -> bool:
    """Whether an Authentication-Results field speaks in our name, or in nobody's (RFC 8601 §5)."""
    return bool(authserv_id) and _authserv_id(value) in (authserv_id.lower(), b"")


def _authserv_id(value: bytes) -> bytes:
    """Who speaks (RFC 8601 §2.2), as the most lenient reader would see it.

    Without comments, quotes, letter case, a version, or the dot at a name's end.
    """
    depth, kept = 0, []
    for piece in _PIECES.findall(value):
        if piece == b"(":
            depth += 1
        elif piece == b")":
            depth = max(0, depth - 1)
            kept.append(b" ")
        elif piece == b";" and not depth:
            break
        elif not depth:
            kept.append(piece.replace(b'"', b"").removeprefix(b"\\"))
    words = b"".join(kept).lower().split()
    return words[0].partition(b"/")[0].rstrip(b".") if words else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What Received says. No client address and no client name: both are personal data."""

    hostname: str
    queue_id: str
    at: datetime  # aware, UTC
    protocol: str = "ESMTPSA"  # RFC 3848, RFC 6531 §4.3
    tls: str = ""  # such as "TLSv1.3"


def edit(content: bytes, header: Header, trace: Trace) -> bytes:
    """The bytes to send on: new fields in front, dropped ones gone, the rest as it came."""
    date = format_datetime(trace.at)
    secured = f" ({trace.tls})" if trace.tls else ""
    added = (
        f"Received: by {trace.hostname} with {trace.protocol}{secured}\r\n"
        f"\tid {trace.queue_id}; {date}\r\n"
    )
    if not header.has_date:
        added += f"Date: {date}\r\n"
    if not header.has_message_id:
        added += f"Message-ID: <{trace.queue_id}@{trace.hostname}>\r\n"
    # Views, so that the message is copied once.
    view = memoryview(content)
    pieces: list[bytes | memoryview] = [added.encode()]
    position = 0
    for start, end in header.dropped:
        pieces.append(view[position:start])
        position = end
    pieces.append(view[position:])
    return b"".join(pieces)
