# SPDX-License-Identifier: AGPL-3.0-or-later
"""Delivery status notifications (RFC 3461, 3464, 6522, 6533) as bytes. Sends nothing.

The envelope of every notification has the null reverse-path; only the headers of the original
are returned, also where RET=FULL asks for all of it (RFC 3461 §4.3 lets a server return less):
content is destroyed with the final state, and must not travel once more.
"""

from __future__ import annotations

import textwrap
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from relay.smtp.envelope import Recipient
from relay.smtp.replies import Outcome
from relay.smtp.waited import DANISH, ENGLISH, Waited, Words

# Stands for a recipient who is not named. RFC 3464 §2.3.2 demands an address, and this one can be
# nobody's (RFC 2606 §2).
UNNAMED = Recipient("restricted@address.invalid")
# A notification answers a message of any size; what it quotes of it stays small.
MAX_RETURNED_HEADERS = 64 * 1024


class Action(StrEnum):
    """The Action field of RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One recipient that the notification is about."""

    recipient: Recipient
    outcome: Outcome
    attempted_at: datetime | None  # None: never, or it is not known any more
    waited: Waited | None = None  # told instead of the outcome, where no try came last
    expired: bool = False  # given up because its lifetime ended, not because of the last reply
    relayed: bool = False  # handed on, whatever became of the others
    came_back: bool = False  # taken first, and returned later


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one notification says; its recipients share the action but for relayed ones."""

    action: Action
    message_id: UUID  # of the original; the sender finds it in the log under this id
    sender: str  # the original's reverse-path, which the notification is addressed to
    recipients: tuple[Told, ...]
    original: bytes = field(repr=False)  # the original content; only its header section is read
    accepted_at: datetime
    now: datetime
    expires_at: datetime
    reporting_host: str
    envid: str = ""


_WORDS = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.RELAYED: "SUCCESS"}


def wants(recipient: Recipient, action: Action) -> bool:
    """Whether this recipient's NOTIFY asks for such a notification (RFC 3461 §4.1, §5.2)."""
    if not recipient.notify:
        return action is not Action.RELAYED
    return _WORDS[action] in recipient.notify.upper().split(",")


def build(report: Report) -> bytes:
    """Return the notification as bytes: 7-bit throughout unless the sender's address is not ASCII.

    Raises ValueError for a message with the null reverse-path: it must never be answered.
    """
    if not report.sender:
        raise ValueError("a notification must never answer a notification (RFC 5321 §6.1)")
    boundary = _boundary(report)
    parts = (_human_part(report), _status_part(report), _headers_part(report.original))
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return _header(report, boundary) + body + b"--%s--\r\n" % boundary.encode()


def _boundary(report: Report) -> str:
    seed = f"{report.message_id} {report.action} {report.now.isoformat()}"
    # "=_" cannot occur in quoted-printable or base64 (RFC 2045 §6.7), so no part contains it.
    return "=_" + sha256(seed.encode()).hexdigest()[:40]


_SUBJECTS = {
    Action.FAILED: "Ikke leveret / Undelivered mail",
    Action.DELAYED: "Forsinket / Delayed mail",
    Action.RELAYED: "Givet videre / Relayed mail",
}


def _header(report: Report, boundary: str) -> bytes:
    token = sha256(boundary.encode()).hexdigest()[:32]
    lines = [
        f"Date: {format_datetime(report.now.astimezone(UTC))}",
        f"From: Mail delivery <postmaster@{report.reporting_host}>",
        f"To: <{_one_line(report.sender)}>",
        f"Subject: {_SUBJECTS[report.action]}",
        f"Message-ID: <{token}@{report.reporting_host}>",
        # RFC 3834 §5: keeps vacation responders and other robots from answering.
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def _human_part(report: Report) -> bytes:
    text = "\n".join([*_danish(report), "", "---", "", *_english(report), ""])
    encoded = b2a_qp(text.encode("utf-8"), istext=True).replace(b"\n", b"\r\n")
    return (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"Content-Description: Notification\r\n\r\n" + encoded
    )


def _danish(report: Report) -> Iterator[str]:
    rest, relayed = _sorted(report)
    if report.action is Action.FAILED:
        yield "Din e-mail kunne ikke leveres til:"
    elif report.action is Action.DELAYED:
        yield "Din e-mail er endnu ikke leveret til modtagerne herunder. Du skal ikke gøre noget:"
        yield f"vi prøver igen indtil {_moment(report.expires_at)}."
    for told in rest:
        yield f"\n  {_named(told, DANISH)}"
        yield from _story(told, DANISH)
    if relayed:
        yield "\nDin e-mail er givet videre til næste mailserver for:\n"
        yield from _listed(relayed, DANISH)
        yield "Den server sender ingen kvitteringer, så der kommer ikke flere om disse modtagere."
    yield ""
    yield f"E-mailen blev modtaget {_moment(report.accepted_at)}. Den har id {report.message_id}."


def _english(report: Report) -> Iterator[str]:
    rest, relayed = _sorted(report)
    if report.action is Action.FAILED:
        yield "Your message could not be delivered to:"
    elif report.action is Action.DELAYED:
        yield "Your message has not been delivered yet to the recipients below. Nothing is needed"
        yield f"from you: delivery is tried until {_moment(report.expires_at)}."
    for told in rest:
        yield f"\n  {_named(told, ENGLISH)}"
        yield from _story(told, ENGLISH)
    if relayed:
        yield "\nYour message was handed to the next mail server for:\n"
        yield from _listed(relayed, ENGLISH)
        yield "That server sends no receipts, so no more will come about these recipients."
    yield ""
    yield f"The message was accepted {_moment(report.accepted_at)}. Its id is {report.message_id}."


def _sorted(report: Report) -> tuple[list[Told], list[Told]]:
    """Return those that the report's own action is about, and those that were handed on."""
    relayed = [told for told in report.recipients if told.relayed]
    return [told for told in report.recipients if not told.relayed], relayed


def _listed(relayed: list[Told], words: Words) -> Iterator[str]:
    yield from (f"  {_named(told, words)}" for told in relayed)
    yield ""


def _named(told: Told, words: Words) -> str:
    return words.unnamed if told.recipient == UNNAMED else _one_line(told.recipient.address)


def _story(told: Told, words: Words) -> Iterator[str]:
    """Yield what became of the mail: the last answer, or why there was none to ask for."""
    if told.waited:
        for sentence in words.story(told.waited, told.expired):
            yield from _indented(sentence)
        return
    if told.expired:
        yield from _indented(words.last)
    if told.came_back:
        yield from _indented(words.came_back)
    outcome, nothing = told.outcome, words.no_reason if told.came_back else words.silence
    yield from _indented(
        f"{outcome.code} {outcome.text}".strip() if outcome.code else outcome.text or nothing
    )


def _indented(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, 72, initial_indent="    ", subsequent_indent="    ")


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _status_part(report: Report) -> bytes:
    groups = [_message_fields(report), *(_recipient_fields(report, t) for t in report.recipients)]
    fields = "\r\n".join("".join(f"{line}\r\n" for line in group) for group in groups)
    return (
        b"Content-Type: message/delivery-status\r\n"
        b"Content-Description: Delivery report\r\n\r\n" + fields.encode("ascii", "replace")
    )


def _message_fields(report: Report) -> Iterator[str]:
    if report.envid:
        # RFC 3464 §2.2.1: the field carries the decoded value; xtext of RFC 3461 §4.
        yield f"Original-Envelope-Id: {_one_line(_decode_xtext(report.envid))}"
    yield f"Reporting-MTA: dns; {report.reporting_host}"
    yield f"Arrival-Date: {format_datetime(report.accepted_at.astimezone(UTC))}"


def _recipient_fields(report: Report, told: Told) -> Iterator[str]:
    outcome, action = told.outcome, Action.RELAYED if told.relayed else report.action
    if told.recipient.orcpt:
        kind, _, address = told.recipient.orcpt.partition(";")
        yield f"Original-Recipient: {_one_line(kind)}; {_one_line(_decode_xtext(address))}"
    yield f"Final-Recipient: {_typed_address(told.recipient.address)}"
    yield f"Action: {action}"
    yield f"Status: {_status(action, told)}"
    if outcome.remote_host:
        yield f"Remote-MTA: dns; {_one_line(outcome.remote_host)}"
    if outcome.code:
        # RFC 3464 §2.3.6: only what the remote said, never a text of our own.
        yield f"Diagnostic-Code: smtp; {_ascii(f'{outcome.code} {outcome.text}'.strip())}"
    if told.attempted_at:
        yield f"Last-Attempt-Date: {format_datetime(told.attempted_at.astimezone(UTC))}"
    if action is Action.DELAYED:
        yield f"Will-Retry-Until: {format_datetime(report.expires_at.astimezone(UTC))}"


_CLASSES = {Action.FAILED: "5", Action.DELAYED: "4", Action.RELAYED: "2"}


def _status(action: Action, told: Told) -> str:
    """RFC 3464 §2.3.4: the class says how it ended so far; 4.4.7 that time ran out."""
    if action is Action.FAILED and told.expired:
        return "4.4.7"
    subject = told.outcome.enhanced.partition(".")[2] or "0.0"
    return f"{_CLASSES[action]}.{subject}"


def _typed_address(address: str) -> str:
    clean = _one_line(address)
    if clean.isascii():
        return f"rfc822; {clean}"
    # RFC 6533 §3: the 7-bit form of an internationalised address in message/delivery-status.
    quoted = "".join(c if c.isascii() and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in clean)
    return f"utf-8; {quoted}"


def _headers_part(original: bytes) -> bytes:
    headers = header_section(original)
    if headers.isascii() and max(map(len, headers.split(b"\r\n")), default=0) <= 998:
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + headers
    # RFC 6522 §4 allows an encoding where the headers are not legal 7-bit lines as they stand.
    encoded = b64encode(headers)
    lines = b"\r\n".join(encoded[i : i + 76] for i in range(0, len(encoded), 76))
    return (
        b"Content-Type: text/rfc822-headers\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + lines + b"\r\n"
    )


def header_section(original: bytes) -> bytes:
    """Return whole header lines only, so that nothing of the body is ever quoted."""
    if original.startswith(b"\r\n"):
        return b""
    head = original.partition(b"\r\n\r\n")[0]
    if len(head) > MAX_RETURNED_HEADERS:
        head = head[:MAX_RETURNED_HEADERS].rpartition(b"\r\n")[0]
    return head + b"\r\n"


def _decode_xtext(value: str) -> str:
    """Decode RFC 3461 §4 xtext; a broken escape stays as it is."""
    head, *rest = value.split("+")
    return head + "".join(_decode_hexchar(piece) for piece in rest)


def _decode_hexchar(piece: str) -> str:
    try:
        return chr(int(piece[:2], 16)) + piece[2:]
    except ValueError:
        return "+" + piece


def _ascii(text: str) -> str:
    return _one_line(text).encode("ascii", "replace").decode("ascii")


def _one_line(text: str) -> str:
    """No value from outside may begin a field of its own."""
    return "".join(c if c.isprintable() else "?" for c in text)
