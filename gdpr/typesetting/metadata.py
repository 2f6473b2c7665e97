# SPDX-License-Identifier: AGPL-3.0-or-later
"""The XMP packet of a document that is PDF/A-3a and PDF/UA-1 at the same time.

WeasyPrint marks one of the two. PDF/A knows nothing of the namespace of PDF/UA, so the packet has
to describe it (ISO 19005-3, 6.6.2.3.2), and the description has prefixes of its own (6.6.2.3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
XMP = "http://ns.adobe.com/xap/1.0/"
PDF = "http://ns.adobe.com/pdf/1.3/"
PDFA_ID = "http://www.aiim.org/pdfa/ns/id/"
PDFUA_ID = "http://www.aiim.org/pdfua/ns/id/"
EXTENSION = "http://www.aiim.org/pdfa/ns/extension/"
SCHEMA = "http://www.aiim.org/pdfa/ns/schema#"
PROPERTY = "http://www.aiim.org/pdfa/ns/property#"
# The names that ISO 19005-3 asks for (6.6.2.3.3, 6.6.4), and those of the other namespaces: what
# a library registers when it is imported does not decide on a document's octets.
PREFIXES = {
    "x": "adobe:ns:meta/",
    "rdf": RDF,
    "dc": DC,
    "xmp": XMP,
    "pdf": PDF,
    "pdfaid": PDFA_ID,
    "pdfuaid": PDFUA_ID,
    "pdfaExtension": EXTENSION,
    "pdfaSchema": SCHEMA,
    "pdfaProperty": PROPERTY,
}
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

# The mark of the packet's order of octets (XMP part 1, 7.3.2), then the packet's fixed name.
HEADER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
FOOTER = b'\n<?xpacket end="r"?>'


@dataclass(frozen=True, slots=True)
class Description:
    """What the packet says of the document; `issued_at` in ISO 8601 with its offset."""

    title: str
    language: str
    identifier: str
    issued_at: str
    author: str
    producer: str


def packet(description: Description) -> bytes:
    """Return the whole XMP packet, encoded."""
    for prefix, namespace in PREFIXES.items():
        register_namespace(prefix, namespace)
    meta = Element(f"{{{PREFIXES['x']}}}xmpmeta")
    rdf = SubElement(meta, f"{{{RDF}}}RDF")
    about = SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    _conformance(about)
    _text(about, PDF, "Producer", description.producer)
    _text(about, XMP, "CreateDate", description.issued_at)
    _text(about, XMP, "ModifyDate", description.issued_at)
    _text(about, DC, "identifier", description.identifier)
    _text(_array(about, DC, "title", "Alt"), RDF, "li", description.title, language="x-default")
    _text(_array(about, DC, "creator", "Seq"), RDF, "li", description.author)
    _text(_array(about, DC, "language", "Bag"), RDF, "li", description.language)
    _describe_ua(about)
    return HEADER.encode() + bytes(tostring(meta, encoding="utf-8")) + FOOTER


def _conformance(about: Element) -> None:
    _text(about, PDFA_ID, "part", "3")
    _text(about, PDFA_ID, "conformance", "A")
    _text(about, PDFUA_ID, "part", "1")


def _describe_ua(about: Element) -> None:
    schema = _item(_array(about, EXTENSION, "schemas", "Bag"))
    _text(schema, SCHEMA, "schema", "PDF/UA Universal Accessibility Schema")
    _text(schema, SCHEMA, "namespaceURI", PDFUA_ID)
    _text(schema, SCHEMA, "prefix", "pdfuaid")
    part = _item(_array(schema, SCHEMA, "property", "Seq"))
    _text(part, PROPERTY, "name", "part")
    _text(part, PROPERTY, "valueType", "Integer")
    _text(part, PROPERTY, "category", "internal")
    _text(part, PROPERTY, "description", "Part of ISO 14289 that the document conforms to")


def _array(parent: Element, namespace: str, name: str, kind: str) -> Element:
    return SubElement(SubElement(parent, f"{{{namespace}}}{name}"), f"{{{RDF}}}{kind}")


def _item(array: Element) -> Element:
    return SubElement(array, f"{{{RDF}}}li", {f"{{{RDF}}}parseType": "Resource"})


def _text(parent: Element, namespace: str, name: str, text: str, *, language: str = "") -> None:
    element = SubElement(parent, f"{{{namespace}}}{name}")
    element.text = text
    if language:
        element.set(XML_LANG, language)
