# SPDX-License-Identifier: AGPL-3.0-or-later
"""Agreements on paper: the real document once as issued, once signed, once sealed."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from accounts.models import Membership
from dpa import offering, press, signing
from dpa.models import Agreement
from dpa.signing import Declaration
from gdpr import seals
from tests import build

SUBJECT = seals.Subject("Anna Due", "Duehuset ApS", "Direktør")


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
    values = {"document": sha256(content).hexdigest(), "language": "da"}
    return Declaration(**values | {"authenticated": "password"} | fields)


def offer(by: Membership, content: bytes | None = None) -> Agreement:
    """Issue a version; its bytes are the real document's, or `content`."""
    made = offering.draft(by, build.NOW)
    return offering.issue(made, content or issued(), by=by, now=build.NOW)


def sign(row: Agreement, by: Membership, content: bytes | None = None) -> Agreement:
    """Sign a version that was issued with `content`, or with the real document."""
    words = declaration(content or issued())
    result = content + b"signed" if content else signed()
    return signing.record_signature(row.id, result, words, by=by, now=build.NOW)
