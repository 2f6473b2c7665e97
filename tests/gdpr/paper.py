# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents for tests: one that has everything a document can have, unsigned and signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from gdpr import seals
from gdpr.documents import Attachment, render

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
FACTS = {"schema": "https://brevdue.example/schemas/agreement/1", "party": "Duehuset ApS"}
SIGNATORY = seals.Subject("Åse Ærø", "Duehuset ApS", "Direktør")


def sample(template="sample.html", **changes):
    """Return the test document; `name` is the one text that comes from a customer."""
    context = {"name": changes.pop("name", "Duehuset ApS"), "rows": range(1, 41)}
    arguments: dict[str, Any] = {
        "language": "da",
        "title": "Prøve på en aftale",
        "identifier": "P-2026-1",
        "issued_at": NOW,
        "attachments": [
            Attachment("aftale.json", json.dumps(FACTS).encode(), "Aftalen som data", "Data")
        ],
    }
    return render(template, context, **(arguments | changes))


@cache
def signed():
    """Return the document unsigned, signed by a person, and sealed after that."""
    plain = sample()
    once = seals.sign_as_person(
        plain,
        field="controller",
        subject=SIGNATORY,
        reason="Indgår aftalen",
        language="da",
        now=NOW,
    )
    twice = seals.seal(once, field="processor", reason="Modtaget", language="da", now=NOW)
    return plain, once, twice
