# SPDX-License-Identifier: AGPL-3.0-or-later
"""From HTML to the octets of a PDF that is PDF/A-3a and PDF/UA-1."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import pydyf
from weasyprint import HTML, Attachment
from weasyprint.logger import LOGGER

from gdpr.typesetting.assets import BundledAssets
from gdpr.typesetting.fields import make_signature_fields
from gdpr.typesetting.lettering import legible, letters_of_fonts
from gdpr.typesetting.metadata import Description, packet
from gdpr.typesetting.structure import finish


class Refused(Exception):
    """WeasyPrint left something out: such a document must not leave the house."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    name: str
    content: bytes
    description: str
    relationship: str


@dataclass(frozen=True, slots=True)
class Order:
    """What to set. A card is the picture of a signature: plain pages without structure."""

    html: str
    description: Description
    enclosures: tuple[Enclosure, ...]
    card: bool

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Self:
        """Return the order that `gdpr.documents` has written as JSON."""
        enclosures = tuple(
            Enclosure(**{**enclosure, "content": base64.b64decode(enclosure["content"])})
            for enclosure in facts["enclosures"]
        )
        return cls(facts["html"], Description(**facts["description"]), enclosures, facts["card"])


def set_type(order: Order) -> bytes:
    """Return the PDF. Raises Refused when WeasyPrint had to leave something out."""
    faults = _Faults()
    LOGGER.addHandler(faults)
    try:
        letters = letters_of_fonts()
        html = HTML(string=legible(order.html, letters), url_fetcher=BundledAssets())
        octets = _plain(html) if order.card else _archival(html, order)
    finally:
        LOGGER.removeHandler(faults)
    if faults.sentences:
        raise Refused("; ".join(faults.sentences))
    return octets


def _plain(html: HTML) -> bytes:
    return bytes(html.write_pdf(pdf_forms=False))


def _archival(html: HTML, order: Order) -> bytes:
    def finisher(document: Any, pdf: pydyf.PDF) -> None:
        finish(pdf)
        make_signature_fields(document, pdf)
        _pack(pdf)
        _describe(pdf, order.description)

    octets = html.write_pdf(
        pdf_variant="pdf/a-3a",
        pdf_identifier=order.description.identifier.encode(),
        pdf_forms=True,
        # Objects stand in the open: who verifies a signature walks through all of them, and would
        # unpack a common stream for each. What is large is packed by itself.
        uncompressed_pdf=True,
        attachments=_attachments(order),
        finisher=finisher,
    )
    return bytes(octets)


def _attachments(order: Order) -> list[Attachment]:
    issued_at = datetime.fromisoformat(order.description.issued_at)
    return [
        Attachment(
            string=enclosure.content,
            name=enclosure.name,
            description=enclosure.description,
            created=issued_at,
            modified=issued_at,
            relationship=enclosure.relationship,
        )
        for enclosure in order.enclosures
    ]


def _pack(pdf: pydyf.PDF) -> None:
    for found in pdf.objects:
        if isinstance(found, pydyf.Stream):
            found.compress = True


def _describe(pdf: pydyf.PDF, description: Description) -> None:
    """Put our packet in the place of WeasyPrint's, and the same facts into the older dictionary."""
    stream = pdf.objects[int(pdf.catalog["Metadata"].split()[0])]
    stream.stream = [packet(description)]
    # Readers that know no PDF search for the packet in clear.
    stream.compress = False
    at = datetime.fromisoformat(description.issued_at)
    day = pydyf.String(at.strftime("D:%Y%m%d%H%M%SZ"))
    pdf.info.update(
        {
            "Title": pydyf.String(description.title),
            "Author": pydyf.String(description.author),
            "Producer": pydyf.String(description.producer),
            "CreationDate": day,
            "ModDate": day,
        }
    )


class _Faults(logging.Handler):
    """Collects what WeasyPrint could not do, without the values it was doing it with."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.sentences: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.sentences.append(str(record.msg))
