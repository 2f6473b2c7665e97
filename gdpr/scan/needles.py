# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is sought, in every form in which a program may have written it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote
from uuid import UUID

# Fewer digits are in too many other numbers.
SHORTEST_PHONE = 6
# What can be told apart in base64 from chance: as many characters of a needle's middle.
SHORTEST_ENCODED = 8


class ScanIncomplete(Exception):
    """A place could not be searched, so nothing can be said about it. Names the place."""


class Kind(Enum):
    """What was found. A name proves nothing: two people may have the same."""

    PERSON = "person"
    ADDRESS = "address"
    PHONE = "phone"
    NAME = "name"

    @property
    def is_conclusive(self) -> bool:
        return self is not Kind.NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The identifiers of one person; kept in memory only."""

    person_id: UUID
    address: str
    phone: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """So many rows, keys or files of a place hold something of this kind."""

    place: str
    kind: Kind
    count: int


@dataclass(frozen=True, slots=True)
class Needle:
    """`folded` is compared with lower-cased text, `exact` with text as it is."""

    kind: Kind
    folded: tuple[str, ...]
    exact: tuple[str, ...] = ()
    octets: tuple[bytes, ...] = ()

    def is_in(self, data: bytes) -> bool:
        """Say whether it is in these octets. Lower-casing octets changes ASCII letters alone."""
        lowered = data.lower()
        if any(form.encode() in lowered for form in self.folded):
            return True
        return any(form in data for form in self.forms_as_octets)

    @property
    def forms_as_octets(self) -> tuple[bytes, ...]:
        return tuple(form.encode() for form in self.exact) + self.octets


def needles(sought: Sought) -> list[Needle]:
    """Return what to look for; an identifier that is empty or too short is left out."""
    found = [_of_id(sought.person_id), _of_text(Kind.ADDRESS, sought.address)]
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
    return Needle(Kind.PHONE, folded=(*text.folded, digits), exact=text.exact)


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
