# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the log takes of a mail's header, by profile. No I/O.

Nothing here can refuse a mail: what cannot be read as the standards write it is read as well as it
goes (RFC 2047 §6.3), and cut where it is long.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from email.errors import MessageError
from email.header import decode_header, make_header
from uuid import UUID

from accounts import vault
from relay.queue import Logged
from relay.smtp import controls, headers
from relay.smtp.headers import Header
from relay.smtp.policy import Submitted

MINIMAL, SUBJECT, HEADERS = controls.PROFILES

SUBJECT_MOST = 500  # characters
NAME_MOST = 200
HEADER_MOST = 65_536  # octets
# What is looked at: a field may have a quarter of a mebibyte, and one process serves everybody.
DECODED_MOST = 4_096
ADDRESSES_MOST = 65_536

HASH_PURPOSE = "message-id"
HASH_OCTETS = 16

_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
# Encoded words in a row: the space between two of them is not shown (RFC 2047 §6.2).
_ENCODED = re.compile(r"=\?\S+\?=(?:\s+=\?\S+\?=)*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# Each begins with another character, and the last two end with the text where nothing closes them.
_PIECE = re.compile(
    r"<([^<>]*)>|[,;:]|[^\"(),;:<>]+|[<>)]|\"((?:[^\"\\]|\\.)*+)\"?|\((?:[^()\\]|\\.)*+\)?",
    re.DOTALL,
)
# Without these, scripts that join letters and some emoji would fall apart.
_JOINERS = "\u200c\u200d"
_HIDDEN = frozenset({"Cc", "Cf", "Cs"})


def tighter(chosen: str, asked: str) -> str:
    """Return the profile that logs less; '' asks for nothing."""
    if not asked:
        return chosen
    return min(chosen, asked, key=controls.PROFILES.index)


def subject(value: bytes) -> str:
    """Return a Subject as people read it, in one line of at most SUBJECT_MOST characters."""
    return _plain(_decoded(_unfolded(value)), SUBJECT_MOST)


def names(values: Iterable[bytes], wanted: Iterable[str]) -> dict[str, str]:
    """Return the display names that To and Cc give to `wanted` addresses, in lower case.

    An address that they do not name is not in it: who got a blind copy has no name here.
    """
    text, known = ",".join(map(_unfolded, values))[:ADDRESSES_MOST], set(wanted)
    found = {address: phrase for address, phrase in _named(text) if address in known and phrase}
    return {address: _plain(_decoded(phrase), NAME_MOST) for address, phrase in found.items()}


def header_text(content: bytes, header: Header) -> str:
    """Return the header as it travels on, lines ending with LF: no Bcc, no field of ours.

    At most HEADER_MOST octets; what is longer ends with the last whole line.
    """
    pieces, position = [], 0
    for start, end in header.dropped:
        pieces.append(content[position:start])
        position = end
    kept = b"".join([*pieces, content[position : header.end]])
    if len(kept) > HEADER_MOST:
        kept = kept[: kept.rfind(b"\r\n", 0, HEADER_MOST) + 2]
    return kept.decode("utf-8", "replace").replace("\r\n", "\n")


def shown(header: str) -> str:
    """Return a header that `header_text` has taken with its encoded words as people read them."""
    return _ENCODED.sub(lambda found: _plain(_decoded(found[0]), HEADER_MOST), header)


def header_hash(organisation_id: UUID, text: str) -> bytes:
    """Return what a Message-ID is found by, the same with its brackets and without.

    Such an id may name a person, so it is kept as a keyed hash, and under another one for each
    organisation.
    """
    found = _MESSAGE_ID.search(text)
    identifier = found[1] if found else text.strip()
    hashed = vault.keyed_hash(HASH_PURPOSE, organisation_id.bytes + identifier.encode())
    return hashed[:HASH_OCTETS]


def logged(message: Submitted, organisation_id: UUID, profile: str, *, made_id: str) -> Logged:
    """Return what the log takes of a message; `made_id` is the Message-ID it gets if it has none.

    A Message-ID is always taken, as a hash: it says nothing to who does not know it already.
    """
    header = message.header
    identifier = _unfolded(header.message_id) if header.has_message_id else made_id
    hashed = header_hash(organisation_id, identifier)
    if profile == MINIMAL:
        return Logged(header_hash=hashed)
    found = fields_of(message.content, header)
    addresses = [one.address.lower() for one in message.envelope.recipients]
    called = names([*found[b"to"], *found[b"cc"]], addresses)
    return Logged(
        profile=profile,
        subject=subject(b"".join(found[b"subject"][:1])),
        names=tuple(called.get(address, "") for address in addresses),
        header=header_text(message.content, header) if profile == HEADERS else None,
        header_hash=hashed,
    )


def fields_of(content: bytes, header: Header) -> dict[bytes, list[bytes]]:
    """Return Subject, To and Cc of a message that `headers.scan` has read."""
    found: dict[bytes, list[bytes]] = {b"subject": [], b"to": [], b"cc": []}
    for name, value, _ in headers.fields(content, header.end):
        if name in found:
            found[name].append(value)
    return found


def _unfolded(value: bytes) -> str:
    """RFC 5322 §2.2.3: only the CRLF goes. RFC 6532 has UTF-8; older octets are anything."""
    return value.replace(b"\r\n", b"").decode("utf-8", "replace").strip()


def _named(text: str) -> Iterator[tuple[str, str]]:
    """Yield address and phrase of each mailbox written with angle brackets (RFC 5322 §3.4)."""
    words: list[str] = []
    for piece in _PIECE.finditer(text):
        if piece[1] is not None:
            yield piece[1].strip().lower(), " ".join(words)
        if piece[1] is not None or piece[0] in ",;:":
            words = []
        elif piece[2] is not None:
            words.append(_ESCAPED.sub(r"\1", piece[2]))
        elif not piece[0].startswith("("):
            words.append(piece[0].strip())


def _decoded(text: str) -> str:
    """Return a text with its encoded words decoded (RFC 2047), as it stands where one is broken."""
    if "=?" not in text:
        return text
    if len(text) > DECODED_MOST:
        text = text[: text.rfind(" ", 0, DECODED_MOST) + 1]
    try:
        return str(make_header(decode_header(text)))
    except (MessageError, LookupError, ValueError):
        return text


def _plain(text: str, most: int) -> str:
    """Leave out what a reader cannot see, such as marks that turn the direction of a line."""
    if not text.isprintable():
        shown = (" " if character.isspace() else character for character in text)
        text = "".join(one for one in shown if one in _JOINERS or not _is_hidden(one))
    return " ".join(text.split())[:most]


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN
