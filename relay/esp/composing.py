# SPDX-License-Identifier: AGPL-3.0-or-later
"""Takes a mail apart for a provider's API, which puts one together again from the pieces.

The envelope decides who receives it. Those of it who stand in To or Cc go into one call and see
each other; everybody else gets a call of their own, in which nobody else stands. So no Bcc is ever
shown, and nobody receives mail because a header names them.

Whatever cannot be told in pieces is refused as a whole, so that nothing is lost on the way unseen.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.mime.base import MIMEBase
from email.parser import BytesParser
from email.policy import Compat32
from email.utils import getaddresses
from typing import Any, cast

from anymail.exceptions import AnymailInvalidAddress
from anymail.message import AnymailMessage
from anymail.utils import EmailAddress

from relay.esp.providers import Provider
from relay.smtp.envelope import Envelope

# Octets: no provider takes more, and each call holds it several times over.
LARGEST = 25 * 1024 * 1024
# The parser goes through all open parts for each line; nobody nests or counts them like this.
MOST_CONTAINERS = 100
MOST_PIECES = 500
METADATA = "brevdue"
_NOT_FOLLOWED = {"track_opens": False, "track_clicks": False}
# The mark (returnpaths.py) names message and recipient, and no address.
TOKEN = re.compile(r"b[a-z2-7]{47}")
_CONTAINER = re.compile(rb"^content-type:[ \t\r\n]*(?:multipart|message)/", re.I | re.M)
_KIND = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_BREAK = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u0085\u2028\u2029]")
_ENCRYPTED = frozenset(
    {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"}
)


class _AsUtf8(Compat32):
    """Octets of a header beyond ASCII are UTF-8 (RFC 6532), and no marks for what is unknown."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_POLICY = _AsUtf8(linesep="\r\n")
Header = Sequence[tuple[str, str]]  # names and unfolded values, in their order


class Unfit(Exception):
    """This mail cannot be given to this provider; `enhanced` is of RFC 3463, `text` for people.

    `place`: of the one recipient that it is about; None: whoever receives it.
    """

    def __init__(self, enhanced: str, text: str, place: int | None = None) -> None:
        super().__init__(enhanced)
        self.enhanced = enhanced
        self.text = text
        self.place = place


@dataclass(frozen=True, slots=True)
class Parcel:
    """One call: the mail, and the places in the envelope of those who receive it by this call.

    `addresses` are those places' addresses as django-anymail names them in what it returns.
    """

    message: Any
    places: tuple[int, ...]
    addresses: tuple[str, ...]


def compose(content: bytes, envelope: Envelope, provider: Provider) -> Parcel:
    """Return the next call for this envelope; the rest of it is for later calls. Raises Unfit."""
    parsed = _parsed(content)
    header = [(name, _unfolded(value)) for name, value in parsed.items()]
    shown = _shown(header, envelope, provider.most_visible)
    authors = [person.address for person in _persons(header, "from")]
    if not authors:
        raise Unfit("5.6.0", "From cannot be given to the provider")
    message = AnymailMessage(
        subject=_decoded(next(_values(header, "subject"), "")),
        from_email=", ".join(authors),
        reply_to=[person.address for person in _persons(header, "reply-to")],
        to=[person for _, name, person in shown if name == "to"],
        cc=[person for _, name, person in shown if name == "cc"],
        headers=_passed(header, provider),
        metadata=_metadata(envelope),
        **(_NOT_FOLLOWED if provider.is_told_not_to_follow else {}),
        esp_extra=dict(provider.options),
    )
    _fill(message, parsed)
    _demand_no_template(message, provider)
    places = tuple(place for place, _, _ in shown)
    named = tuple(_recipient(envelope, place).addr_spec for place in places)
    return Parcel(message, places, named)


def _parsed(content: bytes) -> Message:
    if len(content) > LARGEST:
        raise Unfit("5.3.4", "the mail is larger than providers take")
    if len(_CONTAINER.findall(content)) > MOST_CONTAINERS:
        raise Unfit("5.6.3", "the mail has too many parts inside parts")
    try:
        parsed = BytesParser(policy=_POLICY).parsebytes(content)
    except RecursionError:
        raise Unfit("5.6.3", "the mail has too many parts inside parts") from None
    if parsed.get_content_type() in _ENCRYPTED:
        raise Unfit("5.6.3", "an encrypted mail cannot be taken apart")
    return parsed


def _metadata(envelope: Envelope) -> dict[str, str]:
    """The mark that returning.py puts in the sender's place; an address is never told here."""
    return {METADATA: envelope.sender} if TOKEN.fullmatch(envelope.sender) else {}


# Who receives it


def _shown(header: Header, envelope: Envelope, most: int) -> list[tuple[int, str, str]]:
    """Return place, field and words of those of the next call; at least one of them in To."""
    left: dict[str, list[int]] = {}
    for place, recipient in enumerate(envelope.recipients):
        left.setdefault(_key(recipient.address), []).append(place)
    shown: list[tuple[int, str, str]] = []
    for field in ("to", "cc"):
        for person in _persons(header, field):
            places = left.get(_key(person.addr_spec))
            if places and len(shown) < most:
                place = places.pop(0)
                # As the envelope writes it: a local part's case is the last host's to judge.
                known = _recipient(envelope, place, person.display_name)
                shown.append((place, field, known.address))
    if not shown:
        return [(0, "to", _recipient(envelope, 0).address)]
    if all(field == "cc" for _, field, _ in shown):
        return [(place, "to", person) for place, _, person in shown]
    return shown


def _key(address: str) -> str:
    """Return an address as two writers of it would both have it."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain if domain.isascii() else _ascii_domain(domain)}".casefold()


def _ascii_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


def _recipient(envelope: Envelope, place: int, name: str = "") -> EmailAddress:
    try:
        return EmailAddress(name, envelope.recipients[place].address)
    except AnymailInvalidAddress:
        text = "the recipient's address cannot be given to the provider"
        raise Unfit("5.1.3", text, place) from None


def _persons(header: Header, field: str) -> Iterator[EmailAddress]:
    """Yield who stands in a field; To and Cc were never read before, so anything may."""
    for name, address in getaddresses(list(_values(header, field))):
        if "@" in address:
            try:
                yield EmailAddress(_decoded(name), address)
            except AnymailInvalidAddress:
                if field in ("from", "reply-to"):
                    raise Unfit("5.6.3", f"{field} cannot be given to the provider") from None


# The header


def _values(header: Header, field: str) -> Iterator[str]:
    return (value for name, value in header if name.lower() == field)


def _passed(header: Header, provider: Provider) -> dict[str, str]:
    """Return the fields that travel on, as they came but unfolded; of a name only the first."""
    passed: dict[str, tuple[str, str]] = {}
    for name, text in header:
        if not provider.passes(name):
            continue
        if provider.plain_fields and (not text.isascii() or "=?" in text or "\\u" in text):
            continue
        passed.setdefault(name.lower(), (name, _whole(text)))
    return dict(passed.values())


def _unfolded(value: object) -> str:
    """RFC 5322 §2.2.3: a fold is the white space after it."""
    return re.sub(r"\r?\n(?=[ \t])", "", str(value)).strip()


def _decoded(value: object) -> str:
    """Return the words of RFC 2047 as text. Raises Unfit for what would end a line."""
    text = _unfolded(value)
    try:
        plain = str(make_header(decode_header(text))) if "=?" in text else text
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        plain = text
    return _whole(plain)


def _whole(text: str) -> str:
    # Behaviour 37: an encoded word can hold what ends a line, and so begin a field of its own.
    if _BREAK.search(text):
        raise Unfit("5.6.0", "the header holds a control character")
    return text


def _demand_no_template(message: Any, provider: Provider) -> None:
    """Refuse what the provider would not send on as text, but fill in or leave out."""
    texts = [message.body, *(text for text, _ in message.alternatives)]
    fields = [message.subject, message.from_email, *message.to, *message.cc, *message.reply_to]
    fields += message.extra_headers.values()
    found = _any_in(provider.text_marks, texts) or _any_in(provider.field_marks, fields)
    if found:
        raise Unfit("5.6.3", "the provider would take a part of the text for a template")


def _any_in(marks: Sequence[str], texts: Iterable[str]) -> bool:
    return any(mark in text for text in texts for mark in marks)


# The parts


def _fill(message: Any, parsed: Message) -> None:
    """Put the first text and the first HTML where a reader looks, everything else beside them."""
    found: dict[str, str] = {}
    pieces = 0
    for pieces, part in enumerate(_leaves(parsed), 1):
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and kind not in found and not _is_file(part):
            found[kind] = _text(part)
        else:
            message.attach(_file(part, pieces))
        if pieces > MOST_PIECES:
            raise Unfit("5.6.3", "the mail has too many parts")
    if "text/html" in found:
        message.attach_alternative(found["text/html"], "text/html")
    # A mail that is nothing but files: providers refuse one without any text.
    message.body = found.get("text/plain", "" if "text/html" in found else " ")


def _leaves(part: Message) -> Iterator[Message]:
    """Yield the parts that hold something; a mail inside the mail is one of them."""
    if part.get_content_maintype() == "multipart" and part.is_multipart():
        for inner in cast("list[Message]", part.get_payload()):
            yield from _leaves(inner)
    else:
        yield part


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _octets(part: Message) -> bytes:
    """Return what a part holds, decoded."""
    if part.is_multipart() or part.get_content_maintype() == "message":
        # A parsed message/* part: its own lines, without the part's header.
        return part.as_bytes(policy=_POLICY).partition(b"\r\n\r\n")[2]
    try:
        return cast(bytes, part.get_payload(decode=True))
    except (ValueError, AssertionError):
        raise Unfit("5.6.3", "a part of the mail cannot be decoded") from None


def _text(part: Message) -> str:
    """Return a text with each end of line as one line feed; a wrong charset loses no character.

    A NUL, which no text may hold (RFC 5321 §4.5.2), shows as what cannot be shown.
    """
    text = _decoded_text(_octets(part), _charset(part))
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _decoded_text(octets: bytes, charset: str) -> str:
    for name in (charset, "utf-8"):
        try:
            return octets.decode(name)
        except (LookupError, UnicodeError, ValueError):
            continue
    return octets.decode("latin-1")


def _charset(part: Message) -> str:
    try:
        return part.get_content_charset("utf-8")
    except (LookupError, UnicodeError):
        return "utf-8"


def _file(part: Message, number: int) -> MIMEBase:
    """Return a part as django-anymail wants it, octet for octet."""
    octets, kind = _octets(part), _kind(part)
    main, _, sub = kind.partition("/")
    if main == "text" and not _is_in_charset(octets, _charset(part)):
        # It would be read as text once more, and could not be.
        main, sub = "application", "octet-stream"
    made = MIMEBase(main, sub)
    if main == "text":
        made.set_param("charset", _charset(part))
    made.set_payload(octets)
    cid = _unfolded(part.get("Content-ID", ""))
    inline = bool(cid) and part.get_content_disposition() != "attachment"
    made["Content-Disposition"] = "inline" if inline else "attachment"
    made.set_param("filename", _name(part, number, kind), header="Content-Disposition")
    if inline:
        made["Content-ID"] = _whole(cid)
    return made


def _kind(part: Message) -> str:
    kind = part.get_content_type()
    # What claims to have parts and has none is not taken for more than its octets.
    known = _KIND.fullmatch(kind) and not kind.startswith("multipart/")
    return kind if known else "application/octet-stream"


def _is_in_charset(octets: bytes, charset: str) -> bool:
    try:
        return octets.decode(charset).encode(charset) == octets
    except (LookupError, UnicodeError, ValueError):
        return False


def _name(part: Message, number: int, kind: str) -> str:
    written = part.get_filename()
    if written:
        return re.sub(r"[/\\]", "_", _decoded(written))
    return f"part-{number}{mimetypes.guess_extension(kind) or '.bin'}"
