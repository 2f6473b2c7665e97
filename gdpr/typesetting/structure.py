# SPDX-License-Identifier: AGPL-3.0-or-later
"""The structure tree as PDF/UA-1 wants it: artefacts, headers of tables, attachments once.

Works on the objects that WeasyPrint has made, before they are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydyf


def finish(pdf: pydyf.PDF) -> None:
    """Bring what WeasyPrint made to what the two standards ask for."""
    root = _follow(pdf, pdf.catalog["StructTreeRoot"])
    _make_artefacts(pdf, root)
    _name_headers(pdf, root)
    # Every attachment is listed twice by WeasyPrint 70.
    _once_each(pdf.catalog, "AF")


def _follow(pdf: pydyf.PDF, reference: bytes) -> Any:
    """Return the object that a reference such as `12 0 R` stands for."""
    return pdf.objects[_number(reference)]


def _number(reference: bytes) -> int:
    return int(reference.split()[0])


def _is_element(value: Any) -> bool:
    return isinstance(value, dict) and value.get("Type") == "/StructElem"


def _elements(pdf: pydyf.PDF, parent: Any) -> Iterator[Any]:
    """Yield the structure elements below this one, in reading order."""
    for kid in parent["K"]:
        element = _follow(pdf, kid) if isinstance(kid, bytes) else None
        if _is_element(element):
            yield element
            yield from _elements(pdf, element)


def _make_artefacts(pdf: pydyf.PDF, root: Any) -> None:
    """Turn what stands in the margins into artefacts (ISO 14289-1, 7.8).

    WeasyPrint gives running headers elements that hang on nothing; their marked content becomes
    an artefact, and nothing is left of the elements.
    """
    attached = {element.number for element in _elements(pdf, root)}
    numbers = _follow(pdf, root["ParentTree"])["Nums"]
    for page, owners in zip(pdf.page_references, numbers[1::2], strict=False):
        loose = {i for i, owner in enumerate(owners) if _number(owner) not in attached}
        _relabel(_follow(pdf, _follow(pdf, page)["Contents"]).stream, loose)
        for index in loose:
            owners[index] = "null"
    for element in pdf.objects:
        if _is_element(element) and element.number not in attached:
            # pydyf miscounts objects that are marked as free.
            element.clear()


def _relabel(operators: list[Any], loose: set[int]) -> None:
    """Mark as artefacts the sequences with these numbers: /Span <</MCID 7>> BDC → /Artifact BMC."""
    for place in [i for i, word in enumerate(operators) if word == b"BDC"]:
        if operators[place - 1].get("MCID") in loose:
            operators[place - 2 : place + 1] = ["/Artifact", "", b"BMC"]


def _name_headers(pdf: pydyf.PDF, root: Any) -> None:
    """Say of each table header what it heads (ISO 14289-1, 7.5) and make it findable by its name.

    Cells name their headers; ISO 32000-1, 14.7.2 wants an IDTree for names to be looked up in.
    """
    headers = [element for element in _elements(pdf, root) if element["S"] == "/TH"]
    for header in headers:
        header["A"]["Scope"] = "/Column" if _is_in_head(pdf, header) else "/Row"
    if headers:
        root["IDTree"] = _name_tree(pdf, sorted(headers, key=lambda header: header["ID"].data))


def _is_in_head(pdf: pydyf.PDF, header: Any) -> bool:
    row = _follow(pdf, header["P"])
    return bool(_follow(pdf, row["P"])["S"] == "/THead")


def _name_tree(pdf: pydyf.PDF, headers: list[Any]) -> bytes:
    names = pydyf.Array()
    for header in headers:
        names.extend((header["ID"], header.reference))
    leaf = pydyf.Dictionary({"Limits": pydyf.Array([names[0], names[-2]]), "Names": names})
    pdf.add_object(leaf)
    tree = pydyf.Dictionary({"Kids": pydyf.Array([leaf.reference])})
    pdf.add_object(tree)
    return bytes(tree.reference)


def _once_each(dictionary: Any, name: str) -> None:
    if name in dictionary:
        dictionary[name] = pydyf.Array(dict.fromkeys(dictionary[name]))
