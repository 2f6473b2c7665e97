# SPDX-License-Identifier: AGPL-3.0-or-later
"""Fields that await a signature, made of `<input>` elements while the document is set.

They are there from the first bytes on, each inside a /Form element of the structure tree, because
a field that is added later breaks PDF/UA-1 (ISO 14289-1, 7.18.4) and a certifying signature.
"""

from __future__ import annotations

from typing import Any

import pydyf

EXCEPT = "data-locks-all-but"
NO_CHANGES = 1  # ISO 32000-1, table 254


def make_signature_fields(document: Any, pdf: pydyf.PDF) -> None:
    """Make every input of the document a signature field of its name.

    `title` says to screen readers what the field is for. A signature in a field with
    `data-locks-all-but="NAME"` locks every other field and forbids any change but filling NAME.
    """
    inputs = [box for page in document.pages for boxes in page.forms.values() for box, _ in boxes]
    for box in inputs:
        field = box.widget_annotation
        _await_signature(pdf, field)
        if EXCEPT in box.element.attrib:
            field["Lock"] = _lock(pdf, box.element.attrib[EXCEPT])
    if inputs:
        # Appearances are here: a viewer must not make its own (ISO 19005-3, 6.4.1).
        pdf.catalog["AcroForm"] = pydyf.Dictionary({"Fields": pdf.catalog["AcroForm"]["Fields"]})
        _describe(pdf)


def _await_signature(pdf: pydyf.PDF, field: Any) -> None:
    for name in ("DA", "V", "Ff", "MaxLen"):
        field.pop(name, None)
    field["FT"] = "/Sig"
    left, top, right, bottom = field["Rect"]
    field["Rect"] = pydyf.Array([left, bottom, right, top])
    field["AP"] = pydyf.Dictionary({"N": _blank(pdf, right - left, top - bottom)})


def _blank(pdf: pydyf.PDF, width: float, height: float) -> bytes:
    """The appearance that every annotation must have (ISO 19005-3, 6.3.3)."""
    box = pydyf.Array([0, 0, width, height])
    appearance = pydyf.Stream([b""], {"Type": "/XObject", "Subtype": "/Form", "BBox": box})
    pdf.add_object(appearance)
    return bytes(appearance.reference)


def _lock(pdf: pydyf.PDF, free: str) -> bytes:
    # Without FieldMDP readers ignore P, the wish that nothing be changed (ISO 32000-2, 12.7.5.5).
    lock = pydyf.Dictionary(
        {
            "Type": "/SigFieldLock",
            "Action": "/Exclude",
            "Fields": pydyf.Array([pydyf.String(free)]),
            "P": NO_CHANGES,
        }
    )
    pdf.add_object(lock)
    return bytes(lock.reference)


def _describe(pdf: pydyf.PDF) -> None:
    """Give each /Form element the words of its field (ISO 14289-1, 7.18.4)."""
    for element in pdf.objects:
        if isinstance(element, dict) and element.get("S") == "/Form":
            # The only kid stands alone: pyHanko looks for the field at K.Obj when it asks what a
            # later signature may have changed.
            element["K"] = element["K"][0]
            mark = pdf.objects[_number(element["K"])]
            element["Alt"] = pdf.objects[_number(mark["Obj"])]["TU"]


def _number(reference: bytes) -> int:
    return int(reference.split()[0])
