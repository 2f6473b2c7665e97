# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strict reading of the mailbox lists of From and Sender (RFC 5322 §3.4), on unparsed header bytes.

Mail programs disagree about odd spellings, and each disagreement lets somebody show an address that
was never checked. So: no groups, no routes, no domain literals, nothing unquoted that the grammar
does not allow, no encoded word inside an address or hiding one. Comments and folding are allowed.
"""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header
from functools import lru_cache

from relay.smtp.addresses import Address, AddressError, Fault, parse_address

MOST_MAILBOXES = 50
LONGEST_FIELD = 16_384  # octets

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\x80-\U0010ffff]"
_SIMPLE = re.compile(rf'(?:(?:{_ATOM}+[ \t]+)+|"[ -!#-\[\]-~]*"[ \t]*)?<([^<>()" \t,;:\\]+)>')
_WHITE = re.compile(r"[ \t]+")
_WORD = re.compile(rf"{_ATOM}+(?:\.{_ATOM}+)*")
_QUOTED = re.compile(r'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\t\x20-\x7e])*"')
_COMMENT_TEXT = re.compile(r"(?:[\t\x20-\x27\x2a-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\t\x20-\x7e])+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ADDRESS_LIKE = re.compile(r"[<>]|[^\s@]@[^\s@]")


@lru_cache(maxsize=1024)  # most organisations write from a handful of addresses
def parse_list(value: bytes, *, utf8: bool = False) -> tuple[Address, ...]:
    """The addresses of a mailbox-list, at least one.

    Raises AddressError for anything else; its text holds no part of the header.
    """
    if len(value) > LONGEST_FIELD:
        raise AddressError(Fault.LENGTH)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise AddressError(Fault.SYNTAX) from None
    # Unfolding, RFC 5322 §2.2.3: only the CRLF goes.
    text = text.replace("\r\n", "").strip(" \t")
    simple = _SIMPLE.fullmatch(text)
    if simple is not None and "=?" not in text:
        return (_address(simple[1], utf8=utf8),)
    return tuple(_Reader(text, utf8=utf8).mailboxes())


def _address(text: str, *, utf8: bool) -> Address:
    # RFC 2047 §5: an encoded word never stands in an address; a program that decodes it there
    # would show an address that nobody checked.
    if "=?" in text:
        raise AddressError(Fault.SYNTAX)
    return parse_address(text, utf8=utf8)


class _Reader:
    """A cursor over one field; each method consumes one production of the grammar."""

    def __init__(self, text: str, *, utf8: bool) -> None:
        self.text = text
        self.utf8 = utf8
        self.position = 0

    def mailboxes(self) -> list[Address]:
        found = [self._mailbox()]
        while self._next() == ",":
            self.position += 1
            found.append(self._mailbox())
            if len(found) > MOST_MAILBOXES:
                raise AddressError(Fault.LENGTH)
        if self.position != len(self.text):
            raise AddressError(Fault.SYNTAX)
        return found

    def _mailbox(self) -> Address:
        """`[phrase] <addr-spec>` or a bare `addr-spec`."""
        start, words = self.position, 0
        self._skip()
        while (end := self._word()) is not None:
            self.position = end
            words += 1
            if self._next() == "@" and words == 1:
                return self._bare(start)
            self._skip()
        if self._next() != "<":
            raise AddressError(Fault.SYNTAX)
        _check_phrase(self.text[start : self.position])
        return self._angle()

    def _bare(self, start: int) -> Address:
        local = self.text[start : self.position].strip(" \t")
        if local.startswith("("):
            raise AddressError(Fault.SYNTAX)
        self.position += 1
        domain = _WORD.match(self.text, self.position)
        if domain is None:
            raise AddressError(Fault.SYNTAX)
        self.position = domain.end()
        self._skip()
        return _address(f"{local}@{domain[0]}", utf8=self.utf8)

    def _angle(self) -> Address:
        # No white space or comment inside the brackets: legal, and only ever used to mislead.
        start = self.position + 1
        local = _QUOTED.match(self.text, start) or _WORD.match(self.text, start)
        end = self.text.find(">", local.end() if local else start)
        if local is None or end < 0:
            raise AddressError(Fault.SYNTAX)
        self.position = end + 1
        self._skip()
        return _address(self.text[start:end], utf8=self.utf8)

    def _word(self) -> int | None:
        found = _QUOTED.match(self.text, self.position) or _WORD.match(self.text, self.position)
        if found is not None:
            return found.end()
        # obs-phrase (RFC 5322 §4.1) lets a full stop stand alone, as in "J. Q. Public".
        return self.position + 1 if self._next() == "." else None

    def _next(self) -> str:
        return self.text[self.position : self.position + 1]

    def _skip(self) -> None:
        """White space and comments; comments nest, and may not be left open.

        Programs show a comment as the name, so it is judged like one.
        """
        start, depth = self.position, 0
        while self.position < len(self.text):
            found = (_COMMENT_TEXT if depth else _WHITE).match(self.text, self.position)
            character = self._next()
            if found is not None:
                self.position = found.end()
            elif character in "()" and (depth or character == "("):
                depth += 1 if character == "(" else -1
                self.position += 1
            else:
                break
        if depth:
            raise AddressError(Fault.SYNTAX)
        _check_phrase(self.text[start : self.position])


def _check_phrase(phrase: str) -> None:
    """Refuse a display name whose encoded words decode to an address or to control characters."""
    if "=?" not in phrase:
        return
    # A full-width at-sign reads like the plain one.
    shown = unicodedata.normalize("NFKC", _decoded(phrase))
    if _CONTROL.search(shown) or _ADDRESS_LIKE.search(shown):
        raise AddressError(Fault.SYNTAX)


def _decoded(text: str) -> str:
    try:
        parts = decode_header(text)
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in parts
        )
    except (HeaderParseError, LookupError, ValueError):
        raise AddressError(Fault.SYNTAX) from None
