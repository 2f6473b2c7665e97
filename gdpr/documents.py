# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents that people get: a template becomes a PDF that is PDF/A-3a and PDF/UA-1.

The same arguments give the same octets (the same fonts and version of WeasyPrint provided); what
was handed out is kept as octets all the same. Text of customers reaches the page as text only:
templates escape it, and nothing but bundled assets can be fetched.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation

from gdpr import deadlines
from gdpr.bounded import BoundedError, run

__all__ = ["Attachment", "BoundedError", "render", "render_card"]

TYPESETTING = "gdpr.typesetting"
PRODUCER = "Brevdue"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside the document; `relationship` in the words of ISO 19005-3, annex E."""

    name: str
    content: bytes
    description: str
    relationship: str = "Data"


def render(
    template: str,
    context: Mapping[str, Any],
    *,
    language: str,
    title: str,
    identifier: str,
    issued_at: datetime,
    attachments: Sequence[Attachment] = (),
) -> bytes:
    """Return the PDF of a template below `templates/`, usually one that extends the print layout.

    `identifier` names this document and version for good; `issued_at` is its only date. An
    attachment's name ends in the ending of its kind (.json). Raises BoundedError when it takes
    more than 20 s of processor time or 512 MiB, when it stands still, or when something that the
    template names is not bundled.
    """
    description = {
        "title": title,
        "language": language,
        "identifier": identifier,
        "issued_at": issued_at.astimezone(UTC).replace(microsecond=0).isoformat(),
        "author": settings.OPERATOR_NAME,
        "producer": PRODUCER,
    }
    issued_on = deadlines.day_of(issued_at)
    document = {**description, "issued_on": issued_on, "operator": settings.OPERATOR_NAME}
    html = _fill(template, {**context, "document": document}, language)
    return _set(html, description, attachments)


def render_card(
    template: str, context: Mapping[str, Any], *, language: str, width: float, height: float
) -> bytes:
    """Return the picture of a signature, one page of this size in points (1/72 inch).

    It has no structure of its own: the field that it is put into has the words.
    """
    html = _fill(template, {**context, "width": width, "height": height}, language)
    nothing = dict.fromkeys(("title", "identifier", "issued_at", "author", "producer"), "")
    return _set(html, {**nothing, "language": language}, card=True)


def _fill(template: str, context: dict[str, Any], language: str) -> str:
    with translation.override(language):
        return render_to_string(template, context)


def _set(
    html: str,
    description: Mapping[str, str],
    attachments: Sequence[Attachment] = (),
    *,
    card: bool = False,
) -> bytes:
    order = {
        "html": html,
        "description": description,
        "enclosures": [_enclose(attachment) for attachment in attachments],
        "card": card,
    }
    return run(TYPESETTING, json.dumps(order).encode())


def _enclose(attachment: Attachment) -> dict[str, str]:
    return {
        "name": attachment.name,
        "content": base64.b64encode(attachment.content).decode(),
        "description": attachment.description,
        "relationship": attachment.relationship,
    }
