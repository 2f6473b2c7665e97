# SPDX-License-Identifier: AGPL-3.0-or-later
"""The certificate of an erasure: what went, what stays and why, what was searched. It is sealed.

It names nobody, so that it can be kept: whoever has it knows whom it is about.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts import vault
from gdpr import documents, inventory, seals
from gdpr.documents import Attachment
from gdpr.erasing import findings
from gdpr.erasing.plan import Line, Plan
from gdpr.holds import Ground, Hold
from gdpr.models import Erasure
from gdpr.models.erasures import ROWS
from gdpr.places import FILES
from gdpr.registry import Entry, Eraser, Law, Whose

# How long the link of the last mail leads to the certificate, from when nothing is kept any more;
# staff find it later by its number.
LINK_DAYS = 90
TEMPLATE = "gdpr/documents/erasure_certificate.html"
FIELD = "operator"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as its link gives it, and the second one when there is one.

    `completed_at` is None while something is kept: until then the link has no end. `kept_until` is
    the last day of that, None where the time of some of it has not begun.
    """

    erasure_id: UUID
    ended_at: datetime
    pdf: bytes
    completed_at: datetime | None
    completion: bytes | None
    kept_until: date | None

    @property
    def ends_at(self) -> datetime | None:
        return link_ends_at(self.completed_at) if self.completed_at else None

    def is_open(self, now: datetime) -> bool:
        return self.ends_at is None or now < self.ends_at

    @property
    def reference(self) -> str:
        return str(self.erasure_id)[:8]


@dataclass(frozen=True, slots=True)
class Kept:
    """A line of what stays, in words of the active language."""

    title: str
    rows: int
    ground: str
    until: str


def issue(erasure: Erasure, now: datetime) -> bytes:
    """Return the sealed PDF. Raises BoundedError, SealKeysError."""
    language = erasure.language
    with translation.override(language):
        title, reason = _("Certificate of erasure"), _("Certifies the erasure")
        context = _context(erasure, now)
    pdf = documents.render(
        TEMPLATE,
        context,
        language=language,
        title=title,
        identifier=f"erasure-{erasure.pk}",
        issued_at=now,
        attachments=[_attachment(erasure, now)],
    )
    return seals.seal(pdf, field=FIELD, reason=reason, language=language, now=now)


def reasons(plan: Plan, language: str) -> str:
    """Return why something stays, one line for each table; "" when nothing does (art. 12(4))."""
    with translation.override(language):
        lines = [kept for hold in plan.kept if hold.is_lasting for kept in [_kept(hold)]]
        return "\n".join(f"{kept.title}: {kept.ground} ({kept.until})" for kept in lines)


def kept_lines(plan: Plan) -> list[Kept]:
    """Return what stays, in the active language."""
    return [_kept(hold) for hold in plan.kept]


def token_of(erasure_id: UUID) -> str:
    """Return what the link of the last mail carries: 192 bits that only the vault's key gives.

    Made anew, not remembered: the link goes on working after a restore and a repeated erasure.
    """
    digest = vault.keyed_hash("erasure-certificate-link", erasure_id.bytes)
    return base64.urlsafe_b64encode(digest[:24]).decode()


def link_ends_at(completed_at: datetime) -> datetime:
    return completed_at + timedelta(days=LINK_DAYS)


def token_hash(token: str) -> bytes:
    return vault.keyed_hash("erasure-certificate", token.encode())


def found(token: str, now: datetime) -> Issued | None:
    """Return the certificate that a link leads to. The role may see no erasure."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT erasure_id, ended_at, certificate, completed_at, completion, kept_until"
            " FROM gdpr_certificate_for_token(%s)",
            [token_hash(token)],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    erasure_id, ended_at, first, completed_at, second, kept_until = row
    issued = Issued(
        erasure_id=erasure_id,
        ended_at=ended_at,
        pdf=bytes(first),
        completed_at=completed_at,
        completion=second and bytes(second),
        kept_until=kept_until,
    )
    return issued if issued.is_open(now) else None


def is_on_file(digest: bytes) -> bool:
    """Return whether a file of this sha256 is the certificate of an erasure that is kept here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT gdpr_is_certificate(%s)", [digest.hex()])
        (found,) = cursor.fetchone()
    return bool(found)


def close_links(now: datetime) -> int:
    """Forget the tokens of links whose time is over, so that nothing leads there any more."""
    ended = Erasure.objects.filter(completed_at__lte=now - timedelta(days=LINK_DAYS))
    return ended.exclude(token_hash=None).update(token_hash=None)


def counted(lines: Iterable[Line]) -> list[tuple[str, int]]:
    """Return titles and counts, in the active language."""
    return [(_title(line.model), line.rows) for line in lines]


def _context(erasure: Erasure, now: datetime) -> dict[str, Any]:
    plan = Plan.from_json(erasure.report["plan"])
    found = erasure.report["scan"]
    return {
        "erasure": erasure,
        "ended_at": now,
        "deleted": counted(_counted(erasure, "removed")),
        "anonymised": _anonymised(erasure, plan),
        "kept": kept_lines(plan),
        "is_partial": plan.is_partial,
        "link_days": LINK_DAYS,
        "backups_until": plan.backups_until,
        "scan": found,
        "files": sum(found["files"].values()),
        "places": [(FILES[name], count) for name, count in found["files"].items()],
        "has_logs": "logs" in found["files"],
        "mentions": found["mentions"],
        "elsewhere": found["mentions"]["keys"] + found["mentions"]["files"],
        "accepted": findings.accepted(erasure),
        "authority": settings.AUTHORITY_NAME,
        "authority_address": settings.AUTHORITY_ADDRESS,
        "contact": settings.PRIVACY_EMAIL,
        "field": FIELD,
    }


def _counted(erasure: Erasure, what: str) -> list[Line]:
    """Return what the steps did, as they wrote it down."""
    steps = erasure.steps.filter(name__startswith=ROWS)
    lines = [Line(step.name.removeprefix(ROWS), getattr(step, what)) for step in steps]
    return [line for line in lines if line.rows]


def _anonymised(erasure: Erasure, plan: Plan) -> list[tuple[str, int]]:
    """Return what was emptied; where another row's going did it, the plan counted it before."""
    by_another = {entry.model for entry in inventory.ENTRIES if _is_unlinked(entry)}
    emptied = [line for line in _counted(erasure, "changed") if line.model not in by_another]
    return counted(emptied + [line for line in plan.anonymised if line.model in by_another])


def _is_unlinked(entry: Entry) -> bool:
    return any(path.eraser is Eraser.UNLINK for path in entry.for_subject(Whose.PERSON))


def _kept(hold: Hold) -> Kept:
    entry = inventory.entry(hold.model)
    until = _on(hold.until_on) if hold.until_on else how_long(entry)
    return Kept(str(entry.title), hold.rows, why(hold.ground, hold.law), until)


def why(ground: Ground, law: Law | None) -> str:
    """Return article and law as a phrase in the active language."""
    return f"{ground.label} ({law.label})" if law else str(ground.label)


def how_long(entry: Entry) -> str:
    """Return the rule of a table as a phrase in the active language."""
    return entry.keep.words if entry.keep else ""


def _on(day: date) -> str:
    return _("until %(day)s") % {"day": date_format(day, "DATE_FORMAT")}


def _title(model: str) -> str:
    return str(inventory.entry(model).title)


def _attachment(erasure: Erasure, now: datetime) -> Attachment:
    """The same for machines: names of tables, counts, grounds and dates."""
    values = {
        "schema": SCHEMA,
        "erasure": str(erasure.pk),
        "ended_at": now.isoformat(),
        "steps": [
            [step.name, step.removed, step.changed]
            for step in erasure.steps.filter(done_at__isnull=False)
        ],
        **{part: erasure.report[part] for part in ("plan", "scan")},
        findings.ACCEPTED: erasure.report.get(findings.ACCEPTED, []),
    }
    content = json.dumps(values, indent=1, sort_keys=True).encode()
    return Attachment("erasure.json", content, "The certificate as data")
