# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents are PDF/A-3a and PDF/UA-1: issued, signed and sealed. The judge is judged as well."""

from __future__ import annotations

from io import BytesIO

import pytest
from pikepdf import Array, Dictionary, Name, Pdf

from tests.gdpr.paper import sample, signed
from tests.gdpr.pdf_conformance import faults


@pytest.mark.parametrize("state", [0, 1, 2], ids=["issued", "signed", "sealed"])
def test_document_conforms_in_every_state(state):
    assert faults(signed()[state]) == []


def test_document_without_fields_attachments_and_tables_conforms():
    assert faults(sample(template="gdpr/documents/base.html", attachments=())) == []


def _elements(pdf, kind):
    return [e for e in pdf.objects if isinstance(e, Dictionary) and e.get("/S") == Name(f"/{kind}")]


def _widgets(pdf):
    return [mark for page in pdf.pages for mark in page.get("/Annots", []) if "/FT" in mark]


def _replace(pdf, holder, before, after, times=1):
    stream = pdf.Root.Metadata if holder == "xmp" else pdf.pages[0].Contents
    octets = stream.read_bytes()
    assert before in octets
    stream.write(octets.replace(before, after, times))


def _without(dictionary, name):
    del dictionary[name]


SABOTAGE = {
    "no metadata": ("6.6.2.1", lambda p: _without(p.Root, "/Metadata")),
    "level b only": ("6.6.4", lambda p: _replace(p, "xmp", b">A</", b">B</")),
    "no mark of UA": ("UA 5", lambda p: _replace(p, "xmp", b"<pdfuaid:part>1", b"<pdfuaid:part>2")),
    "undescribed": (
        "6.6.2.3",
        lambda p: _replace(p, "xmp", b"namespaceURI>http", b"namespaceURI>"),
    ),
    "other prefix": (
        "6.6.2.3.3: the prefix",
        lambda p: _replace(p, "xmp", b"pdfaProperty", b"ns9", times=-1),
    ),
    "described as another": (
        "6.6.2.3.3: http://www.aiim.org/pdfua/ns/id/ is described",
        lambda p: _replace(p, "xmp", b"prefix>pdfuaid", b"prefix>ua"),
    ),
    "other title": ("UA 7.1", lambda p: p.docinfo.__setitem__("/Title", "Andet")),
    "file name shown": ("UA 7.1", lambda p: _without(p.Root, "/ViewerPreferences")),
    "no intent": ("6.2.3", lambda p: _without(p.Root, "/OutputIntents")),
    "cmyk": ("6.2.4.3", lambda p: p.pages[0].contents_add(b"/Artifact BMC 0 0 0 1 k EMC")),
    "no unicode": ("6.2.11.7", lambda p: _without(_elements_of_type(p, "Font")[0], "/ToUnicode")),
    "no font file": ("6.2.11.4", lambda p: _strip_fonts(p)),
    "own appearance": (
        "6.4.1",
        lambda p: p.Root.AcroForm.__setitem__("/NeedAppearances", True),
    ),
    "tabs": ("UA 7.18.3", lambda p: _without(p.pages[-1].obj, "/Tabs")),
    "hidden": ("6.3.2", lambda p: _widgets(p)[0].__setitem__("/F", 2)),
    "no appearance": ("6.3.3", lambda p: _without(_widgets(p)[0], "/AP")),
    "loose widget": ("UA 7.18.1", lambda p: _without(_widgets(p)[0], "/StructParent")),
    "mute field": ("UA 7.18.4", lambda p: _without(_elements(p, "Form")[0], "/Alt")),
    "nameless field": ("UA 7.18.4", lambda p: _without(_widgets(p)[0], "/TU")),
    "mute link": ("UA 7.18.5", lambda p: _without(_links(p)[0], "/Contents")),
    "script": (
        "6.5.1",
        lambda p: p.Root.__setitem__("/OpenAction", Dictionary(S=Name.JavaScript, JS="0")),
    ),
    "attachment twice": ("6.8", lambda p: p.Root.AF.append(p.Root.AF[0])),
    "attachment why": ("6.8", lambda p: _without(p.Root.AF[0], "/AFRelationship")),
    "untagged": ("6.7.2", lambda p: _without(p.Root, "/MarkInfo")),
    "no language": ("UA 7.2", lambda p: _without(p.Root, "/Lang")),
    "own type": ("6.7.3.4", lambda p: _elements(p, "Sect")[0].__setitem__("/S", Name.Chapter)),
    "lost item": ("UA 7.5, 7.6", lambda p: _elements(p, "L")[0].__setitem__("/S", Name.Div)),
    "skipped level": ("UA 7.4.2", lambda p: _elements(p, "H2")[0].__setitem__("/S", Name.H4)),
    "no scope": ("UA 7.5", lambda p: _without(_elements(p, "TH")[0].A, "/Scope")),
    "no id tree": ("14.7.2", lambda p: _without(p.Root.StructTreeRoot, "/IDTree")),
    "unmarked": ("paints neither", lambda p: p.pages[0].contents_add(b"0 0 9 9 re f")),
    "nested": (
        "artefact inside",
        lambda p: _replace(p, "page", b"BDC", b"BDC /Artifact BMC EMC"),
    ),
    "relabelled": ("do not belong together", lambda p: _replace(p, "page", b"/MCID 1", b"/MCID 2")),
    "newer": ("the catalogue names", lambda p: p.Root.__setitem__("/Version", Name("/2.0"))),
    "newer part": (
        "an extension of",
        lambda p: p.Root.__setitem__(
            "/Extensions", Dictionary(ISO_=Dictionary(BaseVersion=Name("/2.0"), ExtensionLevel=1))
        ),
    ),
    "no id": ("6.1.3", None),
}


def _links(pdf):
    return [m for page in pdf.pages for m in page.get("/Annots", []) if m.Subtype == "/Link"]


def _elements_of_type(pdf, kind):
    kinds = [o for o in pdf.objects if isinstance(o, Dictionary)]
    return [o for o in kinds if o.get("/Type") == f"/{kind}" and o.get("/Subtype") == "/Type0"]


def _strip_fonts(pdf):
    for found in pdf.objects:
        if isinstance(found, Dictionary) and "/FontFile2" in found:
            del found["/FontFile2"]


@pytest.mark.parametrize("name", SABOTAGE)
def test_judge_sees_a_planted_fault(name):
    clause, sabotage = SABOTAGE[name]
    output = BytesIO()
    with Pdf.open(BytesIO(signed()[0])) as pdf:
        if sabotage:
            sabotage(pdf)
        pdf.save(output)
    octets = output.getvalue()
    if not sabotage:
        octets = octets.replace(b"/ID [", b"/XX [")
    assert any(clause in fault for fault in faults(octets)), faults(octets)


def test_judge_has_no_fault_with_a_file_that_was_only_written_again():
    output = BytesIO()
    with Pdf.open(BytesIO(signed()[0])) as pdf:
        pdf.Root.Extra = Array([])
        pdf.save(output)
    assert faults(output.getvalue()) == []
