# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner of a domain publishes for mail: how each record reads, and whether what was found
does what it should. Strings in, a finding out; who asks the name servers is relay/records.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.smtp.dkim import Algorithm

# RFC 1035 §3.3: one string of a TXT record holds 255 octets at most.
LONGEST_STRING = 255
# RFC 9989 §4.10: so many names are asked at most, whatever a domain's length.
MOST_DMARC_NAMES = 8

_TAG = re.compile(r"\A[A-Za-z][A-Za-z0-9_]*\Z")
_DMARC = re.compile(r"\Av[ \t]*=[ \t]*DMARC1[ \t]*(;|\Z)")
_POLICIES = frozenset({"none", "quarantine", "reject"})
_ALL = frozenset({"all", "+all", "-all", "~all", "?all"})


class Finding(StrEnum):
    """What a look at one record came to."""

    FOUND = "found"
    MISSING = "missing"
    WRONG = "wrong"  # it is there and says something else
    SEVERAL = "several"  # more than one where the standard allows one: readers take none
    WEAK = "weak"  # it is the right one, and says that nobody needs to heed it
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding, and the record it is about: as published, from strangers, of any length."""

    finding: Finding
    text: str = ""


MISSING = Seen(finding=Finding.MISSING)


def key_record(algorithm: Algorithm, public: str) -> str:
    """Return the value of a key record (RFC 6376 §3.6.1, RFC 8463 §4)."""
    return f"v=DKIM1; k={algorithm}; p={public}"


def quoted(value: str) -> str:
    """Return a value as a master file writes it: strings of at most LONGEST_STRING octets."""
    cut = [value[at : at + LONGEST_STRING] for at in range(0, len(value), LONGEST_STRING)]
    return " ".join(f'"{piece}"' for piece in cut)


def key(texts: Sequence[str], algorithm: Algorithm, public: str) -> Seen:
    """Judge what stands at a selector: one key only, ours, for mail, not under test."""
    if not texts:
        return MISSING
    if len(texts) > 1:
        # RFC 6376 §3.6.2.2: which one a verifier takes is left open.
        return Seen(finding=Finding.SEVERAL, text=texts[0])
    return Seen(finding=_of_key(tags(texts[0]), algorithm, public), text=texts[0])


def _of_key(said: dict[str, str] | None, algorithm: Algorithm, public: str) -> Finding:
    # Elsewhere `said` may have its tags in any order, but a version comes first or not at all.
    if said is None or said.get("v", "DKIM1") != "DKIM1" or "v" in list(said)[1:]:
        return Finding.WRONG
    if said.get("k", "rsa") != algorithm or "".join(said.get("p", "").split()) != public:
        return Finding.WRONG
    if "sha256" not in _listed(said.get("h", "sha256")):
        return Finding.WRONG
    if not {"*", "email"} & _listed(said.get("s", "*")):
        return Finding.WRONG
    return Finding.WEAK if "y" in _listed(said.get("t", "")) else Finding.FOUND


def _listed(value: str) -> set[str]:
    return {item.strip() for item in value.split(":")}


def tags(text: str) -> dict[str, str] | None:
    """Read a tag list (RFC 6376 §3.2); None where it is none, or names a tag twice."""
    found: dict[str, str] = {}
    for piece in text.strip().removesuffix(";").split(";"):
        name, equals, value = piece.partition("=")
        name = name.strip()
        if not equals or not _TAG.match(name) or name in found:
            return None
        found[name] = value.strip()
    return found


def senders(texts: Iterable[str], include: str) -> Seen:
    """Judge SPF at a return-path: one record, and `include` in it before whatever ends it.

    `include` is in lower case.
    """
    records = [text for text in texts if _is_spf(text)]
    if not records:
        return MISSING
    if len(records) > 1:
        return Seen(finding=Finding.SEVERAL, text=records[0])  # RFC 7208 §4.5: permerror
    return Seen(finding=_of_senders(records[0], include), text=records[0])


def _is_spf(text: str) -> bool:
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def _of_senders(record: str, include: str) -> Finding:
    wanted = {f"include:{include}", f"+include:{include}"}
    terms = record.lower().split()[1:]
    if "all" in terms or "+all" in terms:
        return Finding.WEAK  # everybody is let through: nothing is proven
    for term in terms:
        if term.rstrip(".") in wanted:
            return Finding.FOUND
        if term in _ALL:
            return Finding.WRONG  # RFC 7208 §5.1: what comes after it is never looked at
    # RFC 7208 §6.1: without "all" it is the other name's record that counts.
    redirected = [term.rstrip(".") for term in terms if term.startswith("redirect=")]
    return Finding.FOUND if redirected == [f"redirect={include}"] else Finding.WRONG


def dmarc_names(domain: str) -> list[str]:
    """Return the names whose record could be the domain's, nearest first (RFC 9989 §4.10)."""
    labels = domain.split(".")
    names = [domain]
    # A long name is cut to seven labels at once, so that nobody can make a reader ask for ever.
    rest = labels[1:] if len(labels) <= MOST_DMARC_NAMES else labels[-(MOST_DMARC_NAMES - 1) :]
    names += [".".join(rest[at:]) for at in range(len(rest))]
    return [f"_dmarc.{name}" for name in names]


def dmarc(answers: Sequence[Sequence[str]]) -> Seen:
    """Judge what stands at `dmarc_names`, in their order: the policy that the domain is under."""
    own = [text for text in answers[0] if _DMARC.match(text)]
    if len(own) > 1:
        return Seen(finding=Finding.SEVERAL, text=own[0])  # RFC 9989 §4.7: all are left out
    if own:
        return Seen(finding=Finding.FOUND if _policy(own[0]) else Finding.WRONG, text=own[0])
    inherited = _inherited(answers[1:])
    return Seen(finding=Finding.FOUND, text=inherited) if inherited else MISSING


def _policy(record: str) -> dict[str, str]:
    """Return the tags of a record that says what to do; RFC 7489 readers demand that it does."""
    said = tags(record) or {}
    return said if said.get("p", "").lower() in _POLICIES else {}


def _inherited(answers: Sequence[Sequence[str]]) -> str:
    """Return the record of the organisation above: the highest one, or the one below a registry's
    (psd=y), or that of whoever says to be an organisation (psd=n).
    """
    highest = below = ""
    for texts in answers:
        records = [text for text in texts if _DMARC.match(text)]
        said = _policy(records[0]) if len(records) == 1 else {}
        if said.get("psd") == "y":
            return below or records[0]
        below = records[0] if said else ""
        highest = below or highest
        if said.get("psd") == "n":
            break
    return highest
