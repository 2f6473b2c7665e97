# SPDX-License-Identifier: AGPL-3.0-or-later
"""Agreements on paper: the real document once as issued, once signed, once sealed."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from accounts.models import Membership
from dpa import offering, press, signing, texts
from dpa.annexes import STATED
from dpa.models import Agreement
from dpa.signing import Declaration
from gdpr import seals
from tests import build

# The same file, with the same seal, for tests that look at what is around it.
seal_once = lru_cache(maxsize=1)(seals.seal)

SUBJECT = seals.Subject("Anna Due", "Duehuset ApS", "Direktør")


# Two levels of sub-processors, one of them outside the EEA, and the operator's statements.
ABOVE = {
    "name": "Værtshuset A/S",
    "company_number": "20000007",
    "address": "Serverstræde 1, 2620 Albertslund",
    "country": "DK",
    "contact": "gdpr@vaertshuset.example",
    "services": ["hosting", "backup"],
    "purposes": ["service"],
    "tables": [row["table"] for row in build.AGREED["processing"]],
    "duration": "",
    "transfer": "none",
    "level": 1,
    "engaged_by": "",
}
BELOW = ABOVE | {
    "name": "Overseas Storage Inc.",
    "company_number": "US-4711",
    "address": "1 Example Street, Springfield",
    "country": "US",
    "contact": "privacy@overseas.example",
    "services": ["backup"],
    "duration": "2027-12-31",
    "transfer": "clauses",
    "level": 2,
    "engaged_by": "Værtshuset A/S",
}
RICH = build.AGREED | {
    "subprocessors": [ABOVE, BELOW],
    "statements": {"by": "Karen Post", "on": "2026-11-01", "measures": list(STATED)},
}


@lru_cache(maxsize=1)
def rich() -> bytes:
    return press.make_pdf(RICH)


@lru_cache(maxsize=1)
def issued() -> bytes:
    return press.make_pdf(build.AGREED)


@lru_cache(maxsize=1)
def signed() -> bytes:
    return seals.sign_as_person(
        issued(),
        field=press.CONTROLLER,
        subject=SUBJECT,
        reason="Godkendelse",
        language="da",
        now=build.NOW,
    )


@lru_cache(maxsize=1)
def complete() -> bytes:
    return seals.seal(signed(), field=press.PROCESSOR, reason="Segl", language="da", now=build.NOW)


def declaration(content: bytes, **fields: str) -> Declaration:
    values = {
        "document": sha256(content).hexdigest(),
        "terms": texts.signing_reference("da"),
        "means": "password",
    }
    return Declaration(**values | fields, proved_at=build.NOW)


def offer(by: Membership, content: bytes | None = None) -> Agreement:
    """Issue a version; its bytes are the real document's, or `content`."""
    made = offering.draft(by, build.NOW)
    return offering.issue(made, content or issued(), by=by, now=build.NOW)


def sign(row: Agreement, by: Membership, content: bytes | None = None) -> Agreement:
    """Sign a version that was issued with `content`, or with the real document."""
    words = declaration(content or issued())
    result = content + b"signed" if content else signed()
    return signing.record_signature(row.id, result, words, by=by, now=build.NOW)
