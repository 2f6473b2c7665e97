# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reading signatures with pyHanko: cryptography, chain of trust, and what came after each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Self

from asn1crypto.x509 import Certificate
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESIndeterminate
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.fields import enumerate_sig_fields
from pyhanko.sign.validation import (
    DocumentTimestampStatus,
    EmbeddedPdfSignature,
    PdfSignatureStatus,
    SignatureCoverageLevel,
    validate_pdf_signature,
    validate_pdf_timestamp,
)
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko_certvalidator import ValidationContext

from gdpr.certificates import loaded
from gdpr.verifying.findings import Changes, Coverage, Signature, Timestamp, Trust, Verification

Status = PdfSignatureStatus | DocumentTimestampStatus

COVERAGE: dict[SignatureCoverageLevel | None, Coverage] = {
    SignatureCoverageLevel.ENTIRE_FILE: Coverage.WHOLE_FILE,
    SignatureCoverageLevel.ENTIRE_REVISION: Coverage.REVISION,
}
CHANGES: dict[ModificationLevel | None, Changes] = {
    ModificationLevel.NONE: Changes.NONE,
    ModificationLevel.LTA_UPDATES: Changes.ARCHIVAL,
    ModificationLevel.FORM_FILLING: Changes.FORM_FILLING,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What to read, under which authorities, as of when."""

    pdf: bytes
    roots: tuple[Certificate, ...]
    now: datetime

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Self:
        """Return the order that `gdpr.seals` has written as JSON."""
        roots = tuple(loaded(root.encode()) for root in facts["roots"])
        return cls(base64.b64decode(facts["pdf"]), roots, datetime.fromisoformat(facts["now"]))


def examine(order: Order) -> Verification:
    """Return what can be said of the file. Raises MemoryError, and nothing else."""
    digest = hashlib.sha256(order.pdf).hexdigest()
    try:
        reader = PdfFileReader(BytesIO(order.pdf))
        found = tuple(_examine(signature, order) for signature in reader.embedded_signatures)
        awaiting = tuple(_awaiting(reader))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  a file of a stranger can break a parser in any way
        return Verification(digest, readable=False)
    return Verification(digest, readable=True, signatures=found, awaiting=awaiting)


def _awaiting(reader: PdfFileReader) -> Iterator[str]:
    for name, value, _ in enumerate_sig_fields(reader):
        if value is None:
            yield name


def _examine(embedded: EmbeddedPdfSignature, order: Order) -> Signature:
    names = embedded.signer_cert.subject.native
    return Signature(
        field=embedded.field_name,
        kind="timestamp" if _is_timestamp(embedded) else "signature",
        signer=_text(names, "common_name"),
        organisation=_text(names, "organization_name"),
        title=_text(names, "title"),
        signed_at=embedded.self_reported_timestamp,
        certifies=_certifies(embedded),
        **_judgement(embedded, order),
    )


def _certifies(embedded: EmbeddedPdfSignature) -> bool:
    permissions = embedded.reader.root.get("/Perms", {})
    certifying = "/DocMDP" in permissions and permissions.raw_get("/DocMDP")
    return bool(certifying == embedded.sig_field.raw_get("/V"))


def _judgement(embedded: EmbeddedPdfSignature, order: Order) -> dict[str, Any]:
    try:
        status = _status(embedded, order)
    except SignatureValidationError:
        # The envelope itself is not what it should be: nothing in it counts.
        return BROKEN
    return {
        "intact": status.intact and status.valid,
        "trust": _trust(status),
        "timestamp": _timestamp(status),
        "coverage": COVERAGE.get(status.coverage, Coverage.PART),
        "changes": CHANGES.get(status.modification_level, Changes.OTHER),
        "changes_allowed": _allowed(status),
    }


BROKEN: dict[str, Any] = {
    "intact": False,
    "trust": Trust.UNKNOWN,
    "timestamp": Timestamp.PENDING,
    "coverage": Coverage.PART,
    "changes": Changes.OTHER,
    "changes_allowed": False,
}


def _status(embedded: EmbeddedPdfSignature, order: Order) -> Status:
    context = ValidationContext(trust_roots=order.roots, moment=order.now, allow_fetching=False)
    if _is_timestamp(embedded):
        return validate_pdf_timestamp(embedded, context)
    return validate_pdf_signature(embedded, context)


def _is_timestamp(embedded: EmbeddedPdfSignature) -> bool:
    return bool(embedded.sig_object_type == "/DocTimeStamp")


def _trust(status: Status) -> Trust:
    if status.trusted:
        return Trust.TRUSTED
    late = (AdESIndeterminate.OUT_OF_BOUNDS_NO_POE, AdESIndeterminate.OUT_OF_BOUNDS_NOT_REVOKED)
    return Trust.EXPIRED if status.trust_problem_indic in late else Trust.UNKNOWN


def _timestamp(status: Status) -> Timestamp:
    if isinstance(status, DocumentTimestampStatus):
        return Timestamp.TRUSTED if status.trusted else Timestamp.UNKNOWN
    token = status.timestamp_validity
    if token is None:
        return Timestamp.PENDING
    return Timestamp.TRUSTED if token.trusted and token.intact else Timestamp.UNKNOWN


def _allowed(status: Status) -> bool:
    if status.coverage in (None, SignatureCoverageLevel.UNCLEAR):
        return False
    if status.coverage is SignatureCoverageLevel.CONTIGUOUS_BLOCK_FROM_START:
        return False
    return bool(status.docmdp_ok)


def _text(names: dict[str, Any], kind: str) -> str:
    value = names.get(kind, "")
    return value if isinstance(value, str) else ", ".join(value)
