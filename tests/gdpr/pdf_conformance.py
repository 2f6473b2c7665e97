# SPDX-License-Identifier: AGPL-3.0-or-later
"""What PDF/A-3a (ISO 19005-3) and PDF/UA-1 (ISO 14289-1) ask of a file, as far as machines see.

No validator comes from the package sources of this project, so the clauses that our documents can
touch are asserted here; `faults` returns a sentence for each that does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import pikepdf
from pikepdf import Array, Dictionary, Pdf, Stream, String

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
DC = "{http://purl.org/dc/elements/1.1/}"
PDFA_ID = "{http://www.aiim.org/pdfa/ns/id/}"
PDFUA_ID = "{http://www.aiim.org/pdfua/ns/id/}"
SCHEMA = "{http://www.aiim.org/pdfa/ns/schema#}"
# The namespaces whose prefix is laid down, with the clause that does.
PREFIXES = {
    "http://www.aiim.org/pdfa/ns/id/": ("pdfaid", "6.6.4"),
    "http://www.aiim.org/pdfa/ns/extension/": ("pdfaExtension", "6.6.2.3.3"),
    "http://www.aiim.org/pdfa/ns/schema#": ("pdfaSchema", "6.6.2.3.3"),
    "http://www.aiim.org/pdfa/ns/property#": ("pdfaProperty", "6.6.2.3.3"),
}

# ISO 32000-1, 14.8.4.
STANDARD = {
    "Document",
    "Part",
    "Art",
    "Sect",
    "Div",
    "BlockQuote",
    "Caption",
    "TOC",
    "TOCI",
    "Index",
    "NonStruct",
    "Private",
    "P",
    "H",
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "H6",
    "L",
    "LI",
    "Lbl",
    "LBody",
    "Table",
    "TR",
    "TH",
    "TD",
    "THead",
    "TBody",
    "TFoot",
    "Span",
    "Quote",
    "Note",
    "Reference",
    "BibEntry",
    "Code",
    "Link",
    "Annot",
    "Ruby",
    "Warichu",
    "Figure",
    "Formula",
    "Form",
}
PARENTS = {
    "LI": {"L"},
    "Lbl": {"LI"},
    "LBody": {"LI"},
    "TR": {"Table", "THead", "TBody", "TFoot"},
    "THead": {"Table"},
    "TBody": {"Table"},
    "TH": {"TR"},
    "TD": {"TR"},
}
PAINTING = {"S", "s", "f", "F", "f*", "B", "B*", "b", "b*", "sh", "Do", "Tj", "TJ", "'", '"', "BI"}
FORBIDDEN_ACTIONS = {"/Launch", "/Sound", "/Movie", "/ResetForm", "/JavaScript", "/SetState"}


def faults(octets: bytes) -> list[str]:
    """Return every clause that the file breaks, in words."""
    with Pdf.open(BytesIO(octets)) as pdf:
        structure = Structure(pdf)
        return [
            *_file(octets, pdf),
            *_metadata(pdf),
            *_colours(pdf),
            *_fonts(pdf),
            *_annotations(pdf, structure),
            *_actions(pdf),
            *_attachments(pdf),
            *_tree(pdf, structure),
            *_content(pdf, structure),
        ]


class Structure:
    """The structure tree, flattened: elements in order, and who owns which content."""

    def __init__(self, pdf: Pdf) -> None:
        self.root = pdf.Root.get("/StructTreeRoot")
        self.elements: list[tuple[Dictionary, str]] = []
        self.content: set[tuple[tuple[int, int], int]] = set()
        self.objects: dict[tuple[int, int], Dictionary] = {}
        if self.root is not None:
            for kid in _kids(self.root):
                self._walk(kid, "StructTreeRoot")
            self.owners = dict(_number_tree(self.root.ParentTree))

    def _walk(self, element: Dictionary, parent: str) -> None:
        self.elements.append((element, parent))
        for kid in _kids(element):
            if isinstance(kid, int):
                self.content.add((element.Pg.objgen, kid))
            elif kid.get("/Type") == "/OBJR":
                self.objects[kid.Obj.objgen] = element
            else:
                self._walk(kid, str(element.S)[1:])


def _kids(element: Dictionary) -> list[Any]:
    kids = element.get("/K", [])
    return list(kids) if isinstance(kids, Array) else [kids]


def _number_tree(tree: Dictionary) -> Iterator[tuple[int, Any]]:
    numbers = list(tree.get("/Nums", []))
    yield from zip(map(int, numbers[::2]), numbers[1::2], strict=True)
    for kid in tree.get("/Kids", []):
        yield from _number_tree(kid)


def _file(octets: bytes, pdf: Pdf) -> Iterator[str]:
    head = octets[:32].split(b"\n")
    if not re.fullmatch(rb"%PDF-1\.[0-7]", head[0]):
        yield "6.1.2: the header names no version of PDF 1"
    yield from _catalogue(pdf)
    if not (head[1].startswith(b"%") and all(octet > 127 for octet in head[1][1:5])):
        yield "6.1.2: no comment of four binary octets after the header"
    if len(pdf.trailer.get("/ID", [])) != 2:
        yield "6.1.3: no file identifier"
    if pdf.is_encrypted:
        yield "6.1.3: encrypted"
    for stream in _streams(pdf):
        if "/F" in stream or "/FFilter" in stream:
            yield "6.1.7.1: a stream lies outside the file"
        if "/LZWDecode" in str(stream.get("/Filter", "")):
            yield "6.1.7.2: LZW"


def _catalogue(pdf: Pdf) -> Iterator[str]:
    """The catalogue may name another version than the header, and the catalogue's holds."""
    if not re.fullmatch(r"/1\.[0-7]", str(pdf.Root.get("/Version", "/1.7"))):
        yield "6.1.2: the catalogue names no version of PDF 1"
    for extensions in pdf.Root.get("/Extensions", {}).values():
        for extension in extensions if isinstance(extensions, Array) else [extensions]:
            if isinstance(extension, Dictionary) and extension.BaseVersion != "/1.7":
                yield "6.1.2: an extension of another version than PDF 1.7"


def _streams(pdf: Pdf) -> list[Stream]:
    return [found for found in pdf.objects if isinstance(found, Stream)]


def _metadata(pdf: Pdf) -> Iterator[str]:
    packet = pdf.Root.Metadata.read_bytes() if "/Metadata" in pdf.Root else b""
    if not packet.startswith(b"<?xpacket begin="):
        yield "6.6.2.1: no XMP packet"
        return
    tree = ElementTree.fromstring(packet)
    if len(tree.findall(f"{RDF}RDF")) != 1:
        yield "6.6.2.1: an XMP packet has one rdf:RDF"
    if (_value(tree, f"{PDFA_ID}part"), _value(tree, f"{PDFA_ID}conformance")) != ("3", "A"):
        yield "6.6.4: not marked as PDF/A-3a"
    if _value(tree, f"{PDFUA_ID}part") != "1":
        yield "UA 5: not marked as PDF/UA-1"
    described = [found.text for found in tree.iter(f"{SCHEMA}namespaceURI")]
    if PDFUA_ID[1:-1] not in described:
        yield "6.6.2.3: the namespace of PDF/UA is not described"
    yield from _prefixes(packet, tree)
    title = tree.find(f".//{DC}title//{RDF}li")
    if title is None or not title.text or title.text != str(pdf.docinfo.get("/Title")):
        yield "UA 7.1: no title, or two"
    if not _reads_as_its_title(pdf):
        yield "UA 7.1: viewers would show the file name instead of the title"


def _prefixes(packet: bytes, tree: ElementTree.Element) -> Iterator[str]:
    """Yield each prefix that is not the one laid down, or not the one that the file describes."""
    named = ElementTree.iterparse(BytesIO(packet), events=("start-ns",))
    prefixes = {namespace: prefix for _, (prefix, namespace) in named}
    for namespace, (prefix, clause) in PREFIXES.items():
        if prefixes.get(namespace, prefix) != prefix:
            yield f"{clause}: the prefix of {namespace} is not {prefix}"
    for schema in tree.iter(f"{SCHEMA}namespaceURI"):
        described = _value(tree, f"{SCHEMA}prefix")
        if prefixes.get(str(schema.text), described) != described:
            yield f"6.6.2.3.3: {schema.text} is described with a prefix that it does not have"


def _value(tree: ElementTree.Element, name: str) -> str | None:
    found = next(tree.iter(name), None)
    return found.text if found is not None else None


def _reads_as_its_title(pdf: Pdf) -> bool:
    return bool(pdf.Root.get("/ViewerPreferences", {}).get("/DisplayDocTitle", False))


def _colours(pdf: Pdf) -> Iterator[str]:
    intents = [i for i in pdf.Root.get("/OutputIntents", []) if i.S == "/GTS_PDFA1"]
    if len(intents) != 1 or intents[0].DestOutputProfile.N != 3:
        yield "6.2.3: no output intent with an RGB profile"
    for operators, _ in _streams_of_content(pdf):
        if any(str(operator) in ("k", "K") for _, operator in operators):
            yield "6.2.4.3: DeviceCMYK without a CMYK output intent"
    for found in pdf.objects:
        if isinstance(found, Dictionary) and found.get("/BM", "/Normal") != "/Normal":
            yield "6.2.10: a blend mode"


def _streams_of_content(pdf: Pdf) -> Iterator[tuple[list[Any], Dictionary]]:
    for page in pdf.pages:
        yield pikepdf.parse_content_stream(page), page.obj
    for form in _streams(pdf):
        if form.get("/Subtype") == "/Form":
            yield pikepdf.parse_content_stream(form), form


def _fonts(pdf: Pdf) -> Iterator[str]:
    fonts = {
        font.objgen: font
        for _, holder in _streams_of_content(pdf)
        for font in holder.get("/Resources", {}).get("/Font", {}).values()
    }
    if not fonts:
        yield "no font at all"
    for font in fonts.values():
        if font.Subtype != "/Type0":
            yield f"6.2.11.4: {font.BaseFont} is not embedded as a composite font"
            continue
        descriptor = font.DescendantFonts[0].FontDescriptor
        if not {"/FontFile2", "/FontFile3"} & set(descriptor.keys()):
            yield f"6.2.11.4: {font.BaseFont} is not embedded"
        if "/ToUnicode" not in font:
            yield f"6.2.11.7: {font.BaseFont} has no ToUnicode"
    yield from _shown_letters(pdf)


def _shown_letters(pdf: Pdf) -> Iterator[str]:
    for operators, holder in _streams_of_content(pdf):
        fonts = holder.get("/Resources", {}).get("/Font", {})
        letters: set[int] = set()
        for operands, operator in operators:
            if str(operator) == "Tf":
                letters = _letters(fonts[str(operands[0])])
            if str(operator) in ("Tj", "TJ"):
                codes = set(_codes(operands[0]))
                if 0 in codes:
                    yield "6.2.11.8: .notdef is shown"
                if codes - letters - {0}:
                    yield "6.2.11.7: a shown glyph has no Unicode value"


def _letters(font: Dictionary) -> set[int]:
    if "/ToUnicode" not in font:
        return set()
    table = font.ToUnicode.read_bytes().decode()
    pairs = re.findall(r"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>", table)
    return {int(code, 16) for code, text in pairs if text.strip("0")}


def _codes(shown: object) -> Iterator[int]:
    for part in shown if isinstance(shown, Array) else [shown]:
        if isinstance(part, String):
            octets = bytes(part)
            yield from (int.from_bytes(octets[i : i + 2]) for i in range(0, len(octets), 2))


def _annotations(pdf: Pdf, structure: Structure) -> Iterator[str]:
    form = pdf.Root.get("/AcroForm", {})
    if form.get("/NeedAppearances", False) or "/XFA" in form:
        yield "6.4.1: viewers would have to make the appearances"
    for page in pdf.pages:
        marks = list(page.get("/Annots", []))
        if marks and page.get("/Tabs") != "/S":
            yield "UA 7.18.3: the order of tabs is not that of the structure"
        for mark in marks:
            yield from _annotation(mark, structure)


def _annotation(mark: Dictionary, structure: Structure) -> Iterator[str]:
    kind = str(mark.Subtype)
    if int(mark.get("/F", 0)) != 4:
        yield f"6.3.2: a {kind} that is not printed"
    if kind != "/Link" and "/N" not in mark.get("/AP", {}):
        yield f"6.3.3: a {kind} without appearance"
    owner = structure.objects.get(mark.objgen)
    listed = structure.owners.get(int(mark.get("/StructParent", -1)))
    if owner is None or listed is None or owner.objgen != listed.objgen:
        yield f"UA 7.18.1: a {kind} that hangs on nothing"
        return
    if kind == "/Widget":
        if owner.S != "/Form" or not str(owner.get("/Alt", "")):
            yield "UA 7.18.4: a field outside a /Form element, or one without words"
        if not str(mark.get("/TU", "")):
            yield "UA 7.18.4: a field without a name for people"
    if kind == "/Link" and (owner.S != "/Link" or not str(mark.get("/Contents", ""))):
        yield "UA 7.18.5: a link outside a /Link element, or without words"


def _actions(pdf: Pdf) -> Iterator[str]:
    for found in _dictionaries(pdf):
        if str(found.get("/S", "")) in FORBIDDEN_ACTIONS:
            yield f"6.5.1: the action {found.S}"
        if "/AA" in found:
            yield "6.5.2: something happens by itself"
    if "/JavaScript" in pdf.Root.get("/Names", {}):
        yield "6.5.1: a script"


def _dictionaries(pdf: Pdf) -> Iterator[Dictionary]:
    """Yield every dictionary, and those that stand directly inside one."""
    for found in pdf.objects:
        if isinstance(found, Dictionary):
            yield found
            yield from (part for part in found.values() if isinstance(part, Dictionary))


def _attachments(pdf: Pdf) -> Iterator[str]:
    names = pdf.Root.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", [])
    embedded = [file.objgen for file in list(names)[1::2]]
    if sorted(embedded) != sorted(file.objgen for file in pdf.Root.get("/AF", [])):
        yield "6.8: embedded files and associated files are not the same"
    for file in list(names)[1::2]:
        for part in ("/F", "/UF", "/Desc", "/AFRelationship"):
            if not str(file.get(part, "")):
                yield f"6.8: an embedded file without {part}"
        if "/Subtype" not in file.EF.F or "/ModDate" not in file.EF.F.Params:
            yield "6.8: an embedded file without its kind or its date"


def _tree(pdf: Pdf, structure: Structure) -> Iterator[str]:
    if structure.root is None or not pdf.Root.get("/MarkInfo", {}).get("/Marked", False):
        yield "6.7.2: not tagged"
        return
    if not re.fullmatch(r"[a-z]{2}(-[A-Z]{2})?", str(pdf.Root.get("/Lang", ""))):
        yield "UA 7.2: no language"
    level = 0
    for element, parent in structure.elements:
        kind = str(element.S)[1:]
        if kind not in STANDARD:
            yield f"6.7.3.4: {kind} is no standard type"
        if kind in PARENTS and parent not in PARENTS[kind]:
            yield f"UA 7.5, 7.6: {kind} inside {parent}"
        if kind == "Figure" and not str(element.get("/Alt", "")):
            yield "UA 7.3: a figure without words"
        if kind == "TH" and element.get("/A", {}).get("/Scope") not in ("/Row", "/Column"):
            yield "UA 7.5: a header that heads nothing"
        if re.fullmatch(r"H[1-6]", kind):
            if int(kind[1]) > level + 1:
                yield f"UA 7.4.2: {kind} after H{level}"
            level = int(kind[1])
    yield from _identifiers(structure)


def _identifiers(structure: Structure) -> Iterator[str]:
    named = {bytes(element.ID) for element, _ in structure.elements if "/ID" in element}
    tree = structure.root.get("/IDTree", {})
    listed = {bytes(name) for leaf in tree.get("/Kids", []) for name in list(leaf.Names)[::2]}
    if named != listed:
        yield "ISO 32000-1, 14.7.2: identifiers that cannot be looked up"
    for element, _ in structure.elements:
        headers = element.get("/A", {}).get("/Headers", [])
        if not {bytes(name) for name in headers} <= named:
            yield "UA 7.5: a cell names a header that is not there"


def _content(pdf: Pdf, structure: Structure) -> Iterator[str]:
    marked = set()
    for page in pdf.pages:
        problems: list[str] = []
        owners = structure.owners[int(page.StructParents)]
        for number in _marked(page, problems):
            marked.add((page.obj.objgen, number))
            if owners[number] is None:
                yield "UA 7.1: content whose element is unknown"
        yield from problems
    if marked != structure.content:
        yield "UA 7.1: content and structure do not belong together"
    for form in _streams(pdf):
        if form.get("/Subtype") == "/Form" and b"/MCID" in form.read_bytes():
            yield "UA 7.20: marked content inside a form"


def _marked(page: pikepdf.Page, problems: list[str]) -> Iterator[int]:
    """Yield the numbers of marked content; add what is painted outside, and what is nested."""
    inside: list[str] = []
    for operands, operator in pikepdf.parse_content_stream(page):
        word = str(operator)
        if word in ("BMC", "BDC"):
            tag = str(operands[0])
            if inside and (tag == "/Artifact" or "/Artifact" in inside):
                problems.append("UA 7.1: an artefact inside content, or content inside one")
            inside.append(tag)
            if word == "BDC" and "/MCID" in operands[1]:
                yield int(operands[1].MCID)
            elif tag != "/Artifact":
                problems.append("UA 7.1: content that no element can own")
        elif word == "EMC":
            inside.pop()
        elif word in PAINTING and not inside:
            problems.append(f"UA 7.1: {word} paints neither content nor artefact")
