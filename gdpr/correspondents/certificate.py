# SPDX-License-Identifier: AGPL-3.0-or-later
"""The certificate of an address's erasure, sealed. It names nobody, so that it can be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gdpr import documents, inventory, places, seals
from gdpr.documents import Attachment
from gdpr.models import AddressErasure
from gdpr.registry import Eraser
from gdpr.scan import Finding, Kind

TEMPLATE = "gdpr/documents/address_erasure.html"
FIELD = "operator"
SCHEMA = 1
# The parts of the report that the data have.
CERTIFIED = ("tally", "kept", "elsewhere", "scan", "backups_until", "ledger_until")

WHY: dict[Eraser, str | Promise] = {
    Eraser.EXPIRY: gettext_lazy("it goes by itself within its short period"),
    Eraser.ORGANISATION: gettext_lazy("it is a setting of yours, which you can change"),
    Eraser.HOLD: gettext_lazy("it is evidence of how the wish was met"),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A line of what stays, in words of the active language."""

    title: str
    rows: int
    why: str
    until: str


def issue(erasure: AddressErasure, now: datetime) -> bytes:
    """Return the sealed PDF. Raises BoundedError, SealKeysError."""
    language = erasure.language
    with translation.override(language):
        title, reason = _("Certificate of erasure"), _("Certifies the erasure")
        context = told(erasure) | {"ended_at": now, "field": FIELD}
    pdf = documents.render(
        TEMPLATE,
        context,
        language=language,
        title=title,
        identifier=f"address-erasure-{erasure.pk}",
        issued_at=now,
        attachments=[_attachment(erasure, now)],
    )
    return seals.seal(pdf, field=FIELD, reason=reason, language=language, now=now)


def told(erasure: AddressErasure) -> dict[str, Any]:
    """Return what was done, in the active language, as page and certificate show it."""
    report = erasure.report
    tally, scan = report.get("tally", {}), report.get("scan")
    values: dict[str, Any] = {
        "erasure": erasure,
        "organisation": erasure.organisation,
        "deleted": _counted(tally.get("removed", {})),
        "emptied": _counted(tally.get("changed", {})),
        "unlinked": _counted(tally.get("unlinked", {})),
        "kept": [_kept(*line) for line in report.get("kept", [])],
        "elsewhere": list(_elsewhere(report.get("elsewhere", {}))),
        "contact": settings.PRIVACY_EMAIL,
    }
    if scan:
        values |= {
            "scan": scan,
            "ledger_until": date.fromisoformat(report["ledger_until"]),
            "backups_until": date.fromisoformat(report["backups_until"]),
            "files": sum(scan["files"].values()),
            "places": [(places.FILES[name], count) for name, count in scan["files"].items()],
            "has_logs": "logs" in scan["files"],
        }
    return values


def _counted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return titles of tables with counts, in the inventory's order."""
    order = [entry.model for entry in inventory.ENTRIES]
    return [
        (str(inventory.entry(model).title), counts[model])
        for model in sorted(counts, key=order.index)
    ]


def _kept(model: str, eraser: str, rows: int) -> Kept:
    entry = inventory.entry(model)
    until = entry.keep.words if entry.keep else ""
    return Kept(str(entry.title), rows, str(WHY[Eraser(eraser)]), until)


def _elsewhere(found: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield where the customer's own words have the address: names that they gave."""
    for place, count in found.items():
        entry = places.entry_of(Finding(place=place, kind=Kind.ADDRESS, count=count))
        yield str(entry.title) if entry else place, count


def _attachment(erasure: AddressErasure, now: datetime) -> Attachment:
    """The same for machines: names of tables and counts."""
    values = {
        "schema": SCHEMA,
        "erasure": str(erasure.pk),
        "organisation": str(erasure.organisation_id),
        "accepted_until": erasure.asked_at.isoformat(),
        "ended_at": now.isoformat(),
        **{name: erasure.report[name] for name in CERTIFIED},
    }
    content = json.dumps(values, indent=1, sort_keys=True).encode()
    return Attachment("erasure.json", content, "The certificate as data")
