# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second certificate of an erasure: what the first one lists as kept is gone. It is sealed.

Nobody knows any more whom it is about: the rows are looked for by their numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from gdpr import documents, scan, seals
from gdpr.documents import Attachment
from gdpr.erasing import certificate, plan
from gdpr.inventory import entry
from gdpr.models import Erasure
from gdpr.registry import Law
from gdpr.scan import Rows

TEMPLATE = "gdpr/documents/erasure_completion.html"
SCHEMA = 1


class StillThere(Exception):
    """The independent look finds rows that were deleted; as text it names their tables."""


@dataclass(frozen=True, slots=True)
class Gone:
    """So many rows of a table that were kept by a law until a day, and are not any more."""

    title: str
    rows: int
    law: str
    until_on: date
    is_emptied: bool


def certify(erasure: Erasure, now: datetime) -> None:
    """Look once more, and put the sealed PDF to the erasure.

    Raises StillThere, scan.ScanIncomplete, BoundedError, SealKeysError.
    """
    sought = _deleted(erasure)
    if left := scan.there(sought):
        raise StillThere(", ".join(sorted(left)))
    pdf = _issue(erasure, sum(len(rows.keys) for rows in sought.values()), now)
    erasure.completion = pdf
    erasure.completion_digest = hashlib.sha256(pdf).hexdigest()
    erasure.completed_at = now
    erasure.save(update_fields=["completion", "completion_digest", "completed_at"])


def gone(erasure: Erasure) -> list[Gone]:
    """Return what was kept and is not any more, in the active language."""
    return [
        Gone(str(entry(model).title), count, str(Law(law).label), until_on, is_emptied(model))
        for (model, law, until_on), count in _counted(erasure)
    ]


def _counted(erasure: Erasure) -> list[tuple[tuple[str, str, date], int]]:
    """Return how many rows there were of each table, law and last day; what is done has one."""
    rows = [(row.model, row.law, row.until_on) for row in erasure.held.all() if row.until_on]
    return sorted(Counter(rows).items())


def is_emptied(model: str) -> bool:
    """Say whether rows of a table stay, emptied of the person, because others need them."""
    held = entry(model).held
    return held is not None and bool(held.empties)


def _issue(erasure: Erasure, sought: int, now: datetime) -> bytes:
    language = erasure.language
    with translation.override(language):
        title, reason = _("Second certificate of erasure"), _("Certifies that nothing is kept")
        context = _context(erasure, sought, now)
    pdf = documents.render(
        TEMPLATE,
        context,
        language=language,
        title=title,
        identifier=f"erasure-{erasure.pk}-completed",
        issued_at=now,
        attachments=[_attachment(erasure, now)],
    )
    return seals.seal(pdf, field=certificate.FIELD, reason=reason, language=language, now=now)


def _context(erasure: Erasure, sought: int, now: datetime) -> dict[str, Any]:
    lines = gone(erasure)
    return {
        "erasure": erasure,
        "completed_at": now,
        "deleted": [line for line in lines if not line.is_emptied],
        "emptied": [line for line in lines if line.is_emptied],
        "sought": sought,
        "backups_until": plan.backups_until(now),
        "authority": settings.AUTHORITY_NAME,
        "authority_address": settings.AUTHORITY_ADDRESS,
        "contact": settings.PRIVACY_EMAIL,
        "field": certificate.FIELD,
    }


def _deleted(erasure: Erasure) -> dict[str, Rows]:
    """Return the numbers of the rows that were deleted, by table."""
    found: dict[str, list[str]] = {}
    for row in erasure.held.all():
        if not is_emptied(row.model):
            found.setdefault(row.model, []).append(row.key)
    return plan.in_tables(found)


def _attachment(erasure: Erasure, now: datetime) -> Attachment:
    """The same for machines, with the checksum of the first certificate."""
    values = {
        "schema": SCHEMA,
        "erasure": str(erasure.pk),
        "first_certificate": erasure.certificate_digest,
        "completed_at": now.isoformat(),
        "rows": [
            [model, law, until_on.isoformat(), count]
            for (model, law, until_on), count in _counted(erasure)
        ],
    }
    content = json.dumps(values, indent=1, sort_keys=True).encode()
    return Attachment("erasure.json", content, "The certificate as data")
