# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strict reading of e-mail addresses (RFC 5321 §4.1.2, RFC 6531) and domains; nothing is guessed.

Decisions, each one tested:

* quoted local parts are accepted and kept as given (RFC 5321 §2.4);
* address literals are recognised and refused: nobody can prove that a literal is theirs, and as a
  destination it names a host instead of a mail domain;
* source routes are recognised and refused (RFC 5321 appendix F.2 lets a server decline them);
* comments and white space inside a path are refused (RFC 5321 has none);
* a domain is required, has two labels or more and no trailing dot (RFC 5321 §2.3.5);
* characters beyond ASCII need SMTPUTF8; U-labels must be valid IDNA 2008, and so must A-labels;
* `%` and `!` in a local part mean nothing here: it is never taken apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import idna

# RFC 5321 §4.5.3.1: octets, not characters. A path is at most 256 octets with its brackets.
LONGEST_LOCAL_PART = 64
LONGEST_ADDRESS = 254
LONGEST_DOMAIN = 253

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOT_STRING = rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*"
# The usual address in one step; the slow way below is for everything else.
_PLAIN = re.compile(rf"({_DOT_STRING})@((?:{_LABEL}\.)+{_LABEL})")
_LOCAL_PART = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*")
# RFC 5321 §4.1.2: qtextSMTP and quoted-pairSMTP, with RFC 6531 §3.3 beyond ASCII.
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\x20-\x7e])*"')
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")


class Fault(StrEnum):
    """Why an address was refused; values are for people, and never quote the address."""

    BRACKETS = "the address must stand in angle brackets"
    SYNTAX = "the address is not written as RFC 5321 demands"
    DOMAIN_MISSING = "the address has no domain"
    DOMAIN = "the domain of the address is not a valid host name"
    LITERAL = "an address literal is not accepted in place of a domain"
    ROUTE = "source routes are not accepted"
    LENGTH = "the address is longer than RFC 5321 allows"
    UTF8 = "an address with characters beyond ASCII needs SMTPUTF8"


class AddressError(ValueError):
    """An address that is refused. Its text holds no part of the address, so it may be logged."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Address(NamedTuple):
    """One accepted address; `str()` gives it back for the wire."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse_path(text: str, *, utf8: bool = False) -> tuple[Address | None, str]:
    """Read `<path>` at the start of `text`; returns the address (None for `<>`) and what follows.

    Raises AddressError. RFC 5321 §4.1.1.2 and §4.1.1.3.
    """
    if not text.startswith("<"):
        raise AddressError(Fault.BRACKETS)
    plain = _PLAIN.match(text, 1)
    if plain is not None and text[plain.end() : plain.end() + 1] == ">":
        rest = text[plain.end() + 1 :]
        address = _checked(plain[1], plain[2].lower())
    elif text.startswith("<>"):
        rest, address = text[2:], None
    else:
        end = _closing_bracket(text)
        rest = text[end + 1 :]
        address = _parse_slowly(text[1:end], utf8=utf8)
    if rest and rest[0] != " ":
        raise AddressError(Fault.SYNTAX)
    return address, rest.strip(" ")


def parse_address(text: str, *, utf8: bool = False) -> Address:
    """Read a bare `local@domain`, the whole of `text`. Raises AddressError."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return _checked(plain[1], plain[2].lower())
    return _parse_slowly(text, utf8=utf8)


def _closing_bracket(text: str) -> int:
    """The `>` that ends the path: the first one outside a quoted string."""
    position, limit = 1, min(len(text), 4 * LONGEST_ADDRESS)
    while position < limit:
        quoted = _QUOTED.match(text, position)
        if quoted is not None:
            position = quoted.end()
        elif text[position] == ">":
            return position
        else:
            position += 1
    raise AddressError(Fault.BRACKETS)


def _parse_slowly(text: str, *, utf8: bool) -> Address:
    if text.startswith("@"):
        raise AddressError(Fault.ROUTE)
    if not text.isascii() and not utf8:
        raise AddressError(Fault.UTF8)
    local = _QUOTED.match(text) or _LOCAL_PART.match(text)
    if local is None or not _printable(local[0]):
        raise AddressError(Fault.SYNTAX)
    if local.end() == len(text):
        raise AddressError(Fault.DOMAIN_MISSING)
    if text[local.end()] != "@":
        raise AddressError(Fault.SYNTAX)
    return _checked(local[0], parse_domain(text[local.end() + 1 :]))


def _printable(text: str) -> bool:
    """No control, format, private, unassigned or separating characters beyond ASCII."""
    return text.isascii() or not any(
        character > "\x7f" and unicodedata.category(character)[0] in "CZ" for character in text
    )


def _checked(local: str, domain: str) -> Address:
    octets = len(local) if local.isascii() else len(local.encode())
    if octets > LONGEST_LOCAL_PART or octets + 1 + len(domain.encode()) > LONGEST_ADDRESS:
        raise AddressError(Fault.LENGTH)
    if "xn--" in domain or domain[-1].isdigit():
        host_name(domain)
    return Address(local, domain)


def parse_domain(text: str) -> str:
    """A host name in lower case, U-labels kept. Raises AddressError."""
    if text.startswith("["):
        raise AddressError(Fault.LITERAL)
    if not text:
        raise AddressError(Fault.DOMAIN_MISSING)
    if len(text) > LONGEST_DOMAIN:  # before anything whose work grows faster than the text
        raise AddressError(Fault.LENGTH)
    domain = unicodedata.normalize("NFC", text.lower())
    host_name(domain)
    return domain


@lru_cache(maxsize=4096)
def host_name(domain: str) -> str:
    """The A-label form in lower case, the only one to compare (RFC 5890). Raises AddressError."""
    try:
        # A label such as xn--a is fine for DNS and no valid IDNA: a look-alike nobody can register.
        encoded = idna.encode(domain, strict=True).decode() if _needs_idna(domain) else domain
    except (idna.IDNAError, UnicodeError):
        raise AddressError(Fault.DOMAIN) from None
    encoded = encoded.lower()
    if len(encoded) > LONGEST_DOMAIN or _DOMAIN.fullmatch(encoded) is None or _numeric(encoded):
        raise AddressError(Fault.DOMAIN)
    return encoded


def spellings(domain: str) -> tuple[str, ...]:
    """Return the A-label and, where there is another, the U-label: mail has either (RFC 6531)."""
    try:
        name = host_name(domain.lower())
        return tuple(dict.fromkeys((name, idna.decode(name))))
    except (AddressError, idna.IDNAError):
        return (domain.lower(),)


def _numeric(name: str) -> bool:
    """Whether this is an IPv4 address without brackets: no top-level domain is a number."""
    return name.rpartition(".")[2].isdigit()


def _needs_idna(domain: str) -> bool:
    return not domain.isascii() or "xn--" in domain


def within(domain: str, verified: Collection[str], delegated: Collection[str] = ()) -> bool:
    """Whether `domain` is one of `verified` (A-labels, lower case) or lies below one of them.

    Compared label by label: `notexample.test` does not lie within `example.test`. What lies
    below a name in `delegated` belongs to somebody else, unless a nearer name is verified.
    """
    try:
        name = host_name(domain.lower())
    except AddressError:
        return False
    while name:
        if name in verified:
            return True
        if name in delegated:
            return False
        name = name.partition(".")[2]
    return False


def is_namesake(one: str, other: str) -> bool:
    """Whether two mailboxes have one name. Many servers know theirs by that alone."""
    return _name(one) == _name(other)


def is_inner_name(one: str, other: str) -> bool:
    """A namesake at, below or above the domain, or without any: the same mailbox.

    One elsewhere is another, that mail may be sent on to.
    """
    here, there = (address.rpartition("@")[2].lower() for address in (one, other))
    return is_namesake(one, other) and (
        "@" not in one or within(here, {there}) or within(there, {here})
    )


def _name(address: str) -> str:
    return (address.rpartition("@")[0] or address).strip().lower()
