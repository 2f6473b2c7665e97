# SPDX-License-Identifier: AGPL-3.0-or-later
"""The bytes of MAIL, RCPT and the body, and what may not be sent to a server at all. Pure."""

from __future__ import annotations

import re

from relay.smtp.envelope import Envelope, Recipient
from relay.smtp.handshake import Features

# RFC 5321 §4.1.2, checked here again whatever was checked at the door: nothing that could end a
# line or an angle bracket gets on the wire. Non-ASCII is RFC 6531.
_ATOMS = r"[^\x00-\x20\x7f<>()\[\]:;@\\,\"]+"
_QUOTED = r"\"(?:[^\x00-\x1f\x7f\"\\]|\\[\x20-\x7e])*\""
_DOMAIN = r"(?:[^\x00-\x20\x7f<>()\[\]:;@\\,\"]+|\[[0-9A-Za-z.:-]+\])"
_MAILBOX = re.compile(rf"(?:{_ATOMS}|{_QUOTED})@{_DOMAIN}")
_XTEXT = re.compile(r"[\x21-\x7e]{1,500}")
_NOTIFY = re.compile(r"[A-Za-z]+(?:,[A-Za-z]+)*")
MAX_ADDRESS = 320  # octets: 64 + "@" + 255 (RFC 5321 §4.5.3.1)


def is_mailbox(address: str) -> bool:
    """Whether the address can be written between angle brackets without a second meaning."""
    return bool(_MAILBOX.fullmatch(address)) and len(address.encode()) <= MAX_ADDRESS


def encode_body(content: bytes) -> tuple[bytes, bytes]:
    """Return the dot-stuffed body and the terminator that completes it (RFC 5321 §4.5.2).

    The body's own last CRLF is part of the terminator, so that nothing is added to it.
    """
    if not content:
        return b"", b".\r\n"
    stuffed = content.replace(b"\r\n.", b"\r\n..") if b"\r\n." in content else content
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed.removesuffix(b"\r\n"), b"\r\n.\r\n"


def mail_command(envelope: Envelope, content: bytes, features: Features) -> bytes:
    """Return MAIL with the parameters that this server understands."""
    words = [f"MAIL FROM:<{envelope.sender}>"]
    if "SIZE" in features.keywords:
        words.append(f"SIZE={len(content)}")
    if not content.isascii():
        words.append("BODY=8BITMIME")
    if needs_smtputf8(envelope, content):
        words.append("SMTPUTF8")
    if features.dsn:
        if envelope.ret in ("FULL", "HDRS"):
            words.append(f"RET={envelope.ret}")
        if _XTEXT.fullmatch(envelope.envid):
            words.append(f"ENVID={envelope.envid}")
    return " ".join(words).encode() + b"\r\n"


def rcpt_command(recipient: Recipient, features: Features) -> bytes:
    """Return RCPT, with the DSN parameters where the server has the extension (RFC 3461)."""
    command = f"RCPT TO:<{recipient.address}>"
    if features.dsn:
        if _NOTIFY.fullmatch(recipient.notify):
            command += f" NOTIFY={recipient.notify}"
        if _XTEXT.fullmatch(recipient.orcpt):
            command += f" ORCPT={recipient.orcpt}"
    return command.encode() + b"\r\n"


def needs_smtputf8(envelope: Envelope, content: bytes) -> bool:
    """Whether the message really uses what RFC 6531 adds, not only whether the client said so."""
    if not envelope.sender.isascii():
        return True
    if not all(recipient.address.isascii() for recipient in envelope.recipients):
        return True
    return envelope.smtputf8 and not _header_section(content).isascii()


def _header_section(content: bytes) -> bytes:
    return content if content.isascii() else content.partition(b"\r\n\r\n")[0]


def refusal(envelope: Envelope, content: bytes, features: Features) -> tuple[str, str] | None:
    """Return enhanced code and text when this message cannot go to this server at all.

    Nothing is converted for a server that cannot take it: that would break signatures.
    """
    if envelope.sender and not is_mailbox(envelope.sender):
        return "5.1.7", "the sender's address cannot be sent"
    # RFC 5321 §2.3.8; a lone CR or LF is how a second message is smuggled in.
    if not content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n"):
        return "5.6.0", "the message holds a line end other than CRLF"
    if b"\0" in content:
        return "5.6.0", "the message holds a NUL character"
    if features.size and len(content) > features.size:
        return "5.3.4", f"the server takes messages of at most {features.size} octets"
    return _missing_feature(envelope, content, features)


def _missing_feature(
    envelope: Envelope, content: bytes, features: Features
) -> tuple[str, str] | None:
    if not content.isascii() and "8BITMIME" not in features.keywords:
        return "5.6.3", "the server does not take 8-bit mail"  # RFC 6152 §3
    if "SMTPUTF8" not in features.keywords and needs_smtputf8(envelope, content):
        return "5.6.7", "the server does not take internationalised addresses"  # RFC 6531 §3.4
    return None
