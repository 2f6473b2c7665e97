# SPDX-License-Identifier: AGPL-3.0-or-later
"""The PDF of an agreement, with its facts and its text once more as data for machines."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from dpa import composition
from dpa.composition import Reading
from dpa.facts import Facts
from gdpr import documents
from gdpr.documents import Attachment

TEMPLATE = "dpa/document.html"
DATA_NAME = "databehandleraftale.json"
# The fields that await signatures, in the order in which they are filled.
CONTROLLER = "controller"
PROCESSOR = "processor"
TIME_STAMP = "Tidsstempel"
SCHEMA = Path(__file__).resolve().parent / "schema" / "agreement-1.json"


def make_pdf(facts: Facts) -> bytes:
    """Return the octets to be signed; the same facts give the same octets.

    Raises gdpr.documents.BoundedError.
    """
    reading = composition.read(facts)
    words = reading.words
    data = json.dumps(enclosure(facts, reading), ensure_ascii=False, sort_keys=True, indent=1)
    return documents.render(
        TEMPLATE,
        {"reading": reading, "fields": (CONTROLLER, PROCESSOR, TIME_STAMP)},
        language=reading.language,
        title=f"{words['title']} – {facts['controller']['name']}",
        identifier=f"{facts['id']} / {facts['number']}",
        issued_at=datetime.fromisoformat(facts["issued_at"]),
        attachments=(Attachment(DATA_NAME, data.encode(), words["data"]),),
    )


def enclosure(facts: Facts, reading: Reading) -> dict[str, Any]:
    """Return the enclosed data (dpa/schema/agreement-1.json): the facts, and the text filled."""
    return {
        "facts": facts,
        "definitions": dict(reading.definitions),
        "clauses": [
            {
                "number": clause.number,
                "title": clause.title,
                "points": [
                    {"number": point.number} | asdict(point.passage) for point in clause.points
                ],
            }
            for clause in reading.clauses
        ],
        "annexes": [asdict(annex) for annex in reading.annexes],
    }
