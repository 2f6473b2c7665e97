# SPDX-License-Identifier: AGPL-3.0-or-later
"""Policies by which a domain demands TLS of whoever sends to it: MTA-STS (RFC 8461). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

RECORD = "_mta-sts"  # the label of the TXT record
HOST = "mta-sts"  # the label of the web server
PATH = "/.well-known/mta-sts.txt"
MAX_OCTETS = 64 * 1024
MAX_PATTERNS = 100
LONGEST = timedelta(seconds=31_557_600)  # RFC 8461 §3.2


class Mode(StrEnum):
    """What a sender does where a host does not hold to the policy."""

    NONE = "none"
    TESTING = "testing"  # nothing but a note of it
    ENFORCE = "enforce"  # it must not deliver there


class Malformed(ValueError):
    """It is no policy; its text holds nothing of what was read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a domain's web server publishes; `mx` holds lower-case A-labels."""

    mode: Mode
    mx: tuple[str, ...]
    max_age: timedelta


def allows(patterns: Iterable[str], host: str) -> bool:
    """Whether a policy names a mail server; what its certificate says is checked elsewhere."""
    return any(_matches(pattern, host.lower()) for pattern in patterns)


_FIELD = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}=[\x21-\x3a\x3c\x3e-\x7e]+"
_TEXT = re.compile(rf"v=STSv1(?:[ \t]*;[ \t]*{_FIELD})+(?:[ \t]*;[ \t]*)?")
_ID = re.compile(r";[ \t]*id=([A-Za-z0-9]{1,32})[ \t]*(?:;|$)")
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*)")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
_SECONDS = re.compile(r"[0-9]{1,10}")


def policy_id(texts: Iterable[bytes]) -> str:
    """Return the id of the policy that TXT records announce; empty when there is none.

    RFC 8461 §3.1: exactly one of them has to be of this kind; two announce nothing.
    """
    ours = [text for text in texts if text.startswith(b"v=STSv1;")]
    if len(ours) != 1 or not ours[0].isascii():
        return ""
    text = ours[0].decode("ascii").rstrip(" \t")
    found = _ID.search(text)
    return found[1] if found and _TEXT.fullmatch(text) else ""


def parse(document: bytes) -> Policy:
    """Read a policy document. Raises Malformed."""
    fields = _fields(document)
    if fields.get("version") != ["STSv1"]:
        raise Malformed("version")
    mode = _mode(fields)
    patterns = tuple(pattern.lower().removesuffix(".") for pattern in fields.get("mx", []))
    if not all(map(_PATTERN.fullmatch, patterns)) or len(patterns) > MAX_PATTERNS:
        raise Malformed("mx")
    if not patterns and mode is not Mode.NONE:
        raise Malformed("no mx")
    return Policy(mode, patterns, _age(fields))


def _fields(document: bytes) -> dict[str, list[str]]:
    """Return every value of `mx`, and the first of each other field (RFC 8461 §3.2)."""
    try:
        text = document.decode() if len(document) <= MAX_OCTETS else ""
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    fields: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.split("\n"))):
        found = _LINE.fullmatch(line)
        if found is None:
            raise Malformed("line")
        if found[1] == "mx" or found[1] not in fields:
            fields.setdefault(found[1], []).append(found[2])
    return fields


def _mode(fields: dict[str, list[str]]) -> Mode:
    try:
        return Mode(fields.get("mode", [""])[0])
    except ValueError:
        raise Malformed("mode") from None


def _age(fields: dict[str, list[str]]) -> timedelta:
    seconds = fields.get("max_age", [""])[0]
    if not _SECONDS.fullmatch(seconds):
        raise Malformed("max_age")
    return min(timedelta(seconds=int(seconds)), LONGEST)


def _matches(pattern: str, host: str) -> bool:
    """RFC 8461 §4.1: an asterisk stands for the one leftmost label."""
    if not pattern.startswith("*."):
        return pattern == host
    label, _, parent = host.partition(".")
    return bool(label) and parent == pattern[2:]
