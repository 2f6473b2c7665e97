# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is sought, in every form in which a program may have written it."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import quote
from uuid import UUID

# Fewer digits are in too many other numbers.
SHORTEST_PHONE = 6
# A longer address or number that only has this one in it is somebody else's. What stands before a
# hit may be the end of an escape, as in JSON (RFC 8259, section 7), in a URL (RFC 3986, section
# 2.1), in quoted-printable mail (RFC 2045, section 6.7) or in PostgreSQL's form of octets, and then
# says nothing. A letter beyond ASCII is not told from a quotation mark beyond it: both are octets
# alone in a file. Valid for `re` and PostgreSQL.
_ESCAPED_BEFORE = r"(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4})|(?<=\\[0-7]{3})|(?<=[%=][0-9a-f]{2})"
BEFORE_ADDRESS = rf"(?:(?<![0-9a-z._+-])|{_ESCAPED_BEFORE})"
AFTER_ADDRESS = r"(?![0-9a-z]|[.-][0-9a-z])"
BEFORE_NUMBER = rf"(?:(?<![0-9a-z])|{_ESCAPED_BEFORE})"
AFTER_NUMBER = r"(?![0-9a-z])"
# What can be told apart in base64 from chance: as many characters of a needle's middle.
SHORTEST_ENCODED = 8


class ScanIncomplete(Exception):
    """A place could not be searched, so nothing can be said about it. Names the place."""


class Kind(Enum):
    """What was found. Name and number prove nothing: two people may share one."""

    PERSON = "person"
    ADDRESS = "address"
    PHONE = "phone"
    NAME = "name"

    @property
    def is_conclusive(self) -> bool:
        return self in (Kind.PERSON, Kind.ADDRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The identifiers of one person; kept in memory only.

    `also` has other spellings of the address. Who has no account has no number.
    """

    person_id: UUID | None
    address: str = field(repr=False)
    phone: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    also: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """So many rows, keys or files of a place hold something of this kind.

    `kept` says how many of them are rows that the caller has named.
    """

    place: str
    kind: Kind
    count: int
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Needle:
    """`folded` is compared with lower-cased text, `exact` with text as it is.

    `before` and `after` are what must hold around a folded form: regular expressions.
    """

    kind: Kind
    folded: tuple[str, ...]
    exact: tuple[str, ...] = ()
    octets: tuple[bytes, ...] = ()
    before: str = ""
    after: str = ""

    def is_in(self, data: bytes) -> bool:
        """Say whether it is in these octets. Lower-casing octets changes ASCII letters alone."""
        lowered, forms = data.lower(), [form.encode() for form in self.folded]
        # The search for a fixed text is many times faster than the expression.
        if any(form in lowered for form in forms) and self._expression.search(lowered):
            return True
        return any(form in data for form in self.forms_as_octets)

    @property
    def forms_as_octets(self) -> tuple[bytes, ...]:
        return tuple(form.encode() for form in self.exact) + self.octets

    def pattern(self, forms: Iterable[str]) -> str:
        """Return the regular expression of `forms` (the folded ones, as a place writes them)."""
        return f"{self.before}(?:{'|'.join(map(re.escape, forms))}){self.after}"

    @property
    def _expression(self) -> re.Pattern[bytes]:
        return re.compile(self.pattern(self.folded).encode())


def is_mention(kinds: Collection[Kind]) -> bool:
    """Say whether these, found in one row, key or file, are a name or a phone number alone."""
    return bool(kinds) and not any(kind.is_conclusive for kind in kinds)


def listed(found: Counter[tuple[str, Kind]]) -> list[Finding]:
    """Return what was counted by place and kind, in an order that is always the same."""
    return [Finding(place=p, kind=k, count=n) for (p, k), n in sorted(found.items(), key=str)]


def needles(sought: Sought) -> list[Needle]:
    """Return what to look for; an identifier that is empty or too short is left out."""
    found = [_of_id(sought.person_id)] if sought.person_id else []
    found.append(_of_address(sought.address, *sought.also))
    if len(re.sub(r"\D", "", sought.phone)) >= SHORTEST_PHONE:
        found.append(_of_phone(sought.phone))
    if " " in sought.name:
        found.append(_of_text(Kind.NAME, sought.name))
    return found


def _of_id(person_id: UUID) -> Needle:
    return Needle(
        Kind.PERSON,
        folded=(str(person_id), person_id.hex),
        exact=_in_base64(str(person_id).encode()),
        octets=(person_id.bytes,),
    )


def _of_address(*spellings: str) -> Needle:
    found = [_of_text(Kind.ADDRESS, spelling) for spelling in spellings]
    return Needle(
        Kind.ADDRESS,
        folded=tuple(dict.fromkeys(form for needle in found for form in needle.folded)),
        exact=tuple(dict.fromkeys(form for needle in found for form in needle.exact)),
        before=BEFORE_ADDRESS,
        after=AFTER_ADDRESS,
    )


def _of_text(kind: Kind, text: str) -> Needle:
    """As it is, in a URL (RFC 3986, section 2.1), in JSON (RFC 8259, section 7), in base64."""
    cases = (text, text.lower(), text.upper())
    forms = [form for case in cases for form in (case, quote(case, safe=""), quote(case))]
    forms += [json.dumps(case)[1:-1] for case in cases]
    return Needle(
        kind,
        folded=tuple(dict.fromkeys(_folded(form) for form in forms)),
        exact=tuple(dict.fromkeys(form for case in cases for form in _in_base64(case.encode()))),
    )


def _folded(text: str) -> str:
    """Return the text with ASCII letters in lower case: a database may know no others."""
    return text.encode().lower().decode()


def _of_phone(phone: str) -> Needle:
    text = _of_text(Kind.PHONE, phone)
    digits = re.sub(r"\D", "", phone)
    forms = (*text.folded, digits)
    return replace(text, folded=forms, before=BEFORE_NUMBER, after=AFTER_NUMBER)


def _in_base64(octets: bytes) -> tuple[str, ...]:
    """Return the characters that stand for `octets` wherever they begin in what is encoded.

    Three octets make four characters (RFC 4648, section 4), so there are three alignments; the
    characters at the ends depend on the neighbours and are left out. Both alphabets are tried.
    """
    found = []
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + octets).decode().rstrip("=")
        first = -(-shift * 4 // 3)
        last = (shift + len(octets)) * 8 // 6
        found.append(text[first:last])
    plain = tuple(text for text in found if len(text) >= SHORTEST_ENCODED)
    return plain + tuple(text.translate(_URL_SAFE) for text in plain)


_URL_SAFE = str.maketrans("+/", "-_")
