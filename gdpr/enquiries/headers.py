# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who a mail says that it is from: four fields of a pasted header, and nothing else. No I/O.

Whatever is pasted can be made up. What is read here leads to a customer who is told that somebody
asks about themselves, and to nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from relay.smtp.addresses import AddressError, host_name

LONGEST = 20_000  # characters of a header that are looked at
MOST_DOMAINS = 6

_FIELD = re.compile(r"(from|return-path|dkim-signature|message-id)[ \t]*:(.*)", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
# Of the local part one character is enough: a run of them that no sign ends is walked once.
_ADDRESS = re.compile(r"[^\s<>\"(),:;@]@([^\s<>\"(),:;@]+)")
_SIGNED_BY = re.compile(r"(?:^|;)\s*d\s*=\s*([^\s;]+)", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<([^<>\s]{1,250})>")
# What a person sees stands first, what a signature vouches for next.
_ORDER = ("from", "dkim-signature", "return-path")


@dataclass(frozen=True, slots=True)
class Named:
    """A sender: A-labels of domains, the likeliest first, and the number of a mail if known."""

    domains: tuple[str, ...] = ()
    message_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.domains or self.message_id)


def of_sender(text: str) -> Named:
    """Read a domain, or an address of it, as a person types it."""
    return Named(_domains([text.strip().rpartition("@")[2]]))


def of_header(text: str) -> Named:
    """Read what a person has copied out of a mail; of a field that stands there twice, neither."""
    fields: dict[str, list[str]] = {}
    for name, value in _fields(text[:LONGEST]):
        fields.setdefault(name, []).append(value)
    found = [domain for name in _ORDER for domain in _of_field(name, fields.get(name, []))]
    numbers = [_MESSAGE_ID.search(value) for value in fields.get("message-id", [])]
    number = numbers[0] if len(numbers) == 1 else None
    return Named(_domains(found), number[1] if number else "")


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in _FOLD.sub(" ", text).splitlines():
        if match := _FIELD.match(line):
            yield match[1].lower(), match[2]


def _of_field(name: str, values: list[str]) -> Iterator[str]:
    if name == "dkim-signature":
        matches = [_SIGNED_BY.search(value) for value in values]
    else:
        matches = [_ADDRESS.search(value) for value in values] if len(values) == 1 else []
    yield from (match[1] for match in matches if match)


def _domains(names: list[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        with suppress(AddressError):
            found[host_name(name.strip().rstrip(".").lower())] = None
    return tuple(found)[:MOST_DOMAINS]
