# SPDX-License-Identifier: AGPL-3.0-or-later
"""Signing and sealing of documents, and the question who signed one and what changed since.

Signatures are PAdES B-B (ETSI EN 319 142-1). No authority for time stamps is asked: the time in a
signature is what this installation says, and findings call it so.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from pyhanko.pdf_utils.content import PdfContent
from pyhanko.pdf_utils.extensions import DeveloperExtension
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.layout import AxisAlignment, BoxConstraints, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter, enumerate_sig_fields
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.stamp import StaticStampStyle

from gdpr import sealkeys
from gdpr.bounded import run
from gdpr.certificates import Subject
from gdpr.documents import render_card
from gdpr.sealkeys import SealKeysError, trust_root
from gdpr.typesetting.limits import PATIENCE
from gdpr.verifying.findings import Changes, Coverage, Signature, Trust, Verification

__all__ = [
    "Changes",
    "Coverage",
    "FieldError",
    "SealKeysError",
    "Signature",
    "Subject",
    "Trust",
    "Verification",
    "seal",
    "sign_as_person",
    "trust_root",
    "verify",
]

VERIFYING = "gdpr.verifying"
CARD = "gdpr/documents/card.html"
NEWEST_VERSION = (1, 7)


class FieldError(Exception):
    """The document has no field of this name, or it is signed already."""


@dataclass(frozen=True, slots=True)
class Act:
    """One signature: where, why, when, and what its picture says besides."""

    field: str
    reason: str
    now: datetime
    language: str
    permission: MDPPerm | None
    card: Mapping[str, Any]


def sign_as_person(
    pdf: bytes, *, field: str, subject: Subject, reason: str, language: str, now: datetime
) -> bytes:
    """Return the document signed with a key that is made for this act and then forgotten.

    The first signature of a document certifies it: from then on fields may be filled and nothing
    else may change. Raises FieldError, SealKeysError, BoundedError.
    """
    signer = sealkeys.signer_for_person(subject, now)
    permission = None if _is_signed(pdf) else MDPPerm.FILL_FORMS
    act = Act(field, reason, now, language, permission, {"subject": subject})
    return _sign(pdf, signer, act)


def seal(pdf: bytes, *, field: str, reason: str, language: str, now: datetime) -> bytes:
    """Return the document with the operator's seal.

    As the first signature it forbids every change; as a later one it locks what its field says.
    Raises FieldError, SealKeysError, BoundedError.
    """
    signer = sealkeys.signer_for_seal(now)
    permission = None if _is_signed(pdf) else MDPPerm.NO_CHANGES
    certificate = signer.signing_cert
    assert certificate is not None
    names = certificate.subject.native
    organisation = names.get("organization_name", "")
    subject = Subject(names.get("common_name", organisation), organisation)
    return _sign(pdf, signer, Act(field, reason, now, language, permission, {"subject": subject}))


def verify(pdf: bytes, *, now: datetime, patience: float = PATIENCE) -> Verification:
    """Say of each signature who made it, whether it is trusted, and what changed since.

    The document may come from anybody: it is read in a process of its own, bounded in memory, in
    processor time, and in `patience` seconds on the clock. Raises BoundedError when that was not
    enough, SealKeysError.
    """
    order = {
        "pdf": base64.b64encode(pdf).decode(),
        "roots": [root.decode() for root in sealkeys.trust_roots(now)],
        "now": now.isoformat(),
    }
    answer = run(VERIFYING, json.dumps(order).encode(), patience=patience)
    return Verification.read(json.loads(answer))


def _is_signed(pdf: bytes) -> bool:
    return bool(PdfFileReader(BytesIO(pdf)).embedded_signatures)


def _sign(pdf: bytes, signer: SimpleSigner, act: Act) -> bytes:
    width, height = _size_of_field(pdf, act.field)
    context = {**act.card, "reason": act.reason, "signed_at": act.now}
    card = render_card(CARD, context, language=act.language, width=width, height=height)
    metadata = PdfSignatureMetadata(
        field_name=act.field,
        reason=act.reason,
        name=act.card["subject"].name,
        subfilter=SigSeedSubFilter.PADES,
        md_algorithm="sha256",
        certify=act.permission is not None,
        docmdp_permissions=act.permission or MDPPerm.NO_CHANGES,
    )
    return asyncio.run(embed(pdf, metadata, signer, act.now, _style(card)))


async def embed(
    pdf: bytes,
    metadata: PdfSignatureMetadata,
    signer: SimpleSigner,
    now: datetime,
    style: StaticStampStyle | None = None,
) -> bytes:
    """Return the file with a signature appended that says it was made at `now`.

    PdfSigner.sign_pdf would take the time from the machine's clock.
    """
    writer = _QuietWriter(BytesIO(pdf))
    session = PdfSigner(metadata, signer, stamp_style=style).init_signing_session(
        writer, existing_fields_only=True
    )
    session.system_time = now
    room = await session.estimate_signature_container_size(None)
    document = session.prepare_tbs_document(validation_info=None, bytes_reserved=room)
    output = BytesIO()
    prepared, _ = document.digest_tbs_document(output=output)
    await document.perform_signature(prepared.document_digest, PdfCMSSignedAttributes())
    return output.getvalue()


class _QuietWriter(IncrementalPdfFileWriter):
    """Leaves the description of the document as it was issued; a signature has its own time.

    PDF/A-3 is PDF 1 (ISO 19005-3, 6.1.2), so the document stays one. The signer would make it
    PDF 2.0 for the sake of its curve, which ISO/TS 32002 names for that version. PAdES builds on
    PDF 1.7 (ETSI EN 319 142-1), and readers take the curve from the certificate.
    """

    def _update_meta(self) -> None:
        pass

    def ensure_output_version(self, version: tuple[int, int]) -> None:
        bounded = min(version, NEWEST_VERSION)
        super().ensure_output_version(bounded)  # type: ignore[no-untyped-call] # pyHanko's

    def register_extension(self, ext: DeveloperExtension) -> None:
        if ext.base_version != "/2.0":
            super().register_extension(ext)


class _Card(PdfContent):
    """The first page of a PDF in memory, as the picture of a signature."""

    def __init__(self, pdf: bytes) -> None:
        super().__init__()
        self._pdf = pdf

    def render(self) -> bytes:
        page = self._ensure_writer.import_page_as_xobject(PdfFileReader(BytesIO(self._pdf)))
        self.resources.xobject["/Card"] = page
        left, bottom, right, top = page.get_object()["/BBox"]
        self.box = BoxConstraints(width=right - left, height=top - bottom)
        return b"/Card Do"


def _style(card: bytes) -> StaticStampStyle:
    edge_to_edge = SimpleBoxLayoutRule(
        x_align=AxisAlignment.ALIGN_MID, y_align=AxisAlignment.ALIGN_MID, margins=Margins()
    )
    return StaticStampStyle(
        background=_Card(card),
        background_layout=edge_to_edge,
        background_opacity=1.0,
        border_width=0,
    )


def _size_of_field(pdf: bytes, name: str) -> tuple[float, float]:
    """Return width and height in points. Raises FieldError."""
    for found, value, reference in enumerate_sig_fields(PdfFileReader(BytesIO(pdf))):
        if found == name and value is None:
            left, bottom, right, top = map(float, reference.get_object()["/Rect"])
            return right - left, top - bottom
    raise FieldError(f"no field {name} awaits a signature")
