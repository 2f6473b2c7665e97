# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a scan found that an erasure cannot explain, and what people say of it.

A place is a column or a store, never a value; whoever accepts a finding looks there and says why
it is not the person. The words stand on the certificate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.models import User
from accounts.refusals import Refused
from gdpr.models import Erasure
from gdpr.requests import ReasonMissing
from gdpr.scan import Finding, Kind

# Parts of an erasure's report: what the last scan stopped at, and what was accepted.
FOUND = "found"
ACCEPTED = "accepted"


class NothingFound(Refused):
    text: Promise = _("The last scan of this erasure did not stop at anything.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that is not the person, in the words of whoever has looked."""

    finding: Finding
    because: str


def tell(erasure_id: UUID, left: Iterable[Finding]) -> None:
    """Write down what the scan stopped at, for people to look at. Role `duty`."""
    with transaction.atomic():
        erasure = Erasure.objects.select_for_update().get(pk=erasure_id)
        found = [[finding.place, finding.kind.value, _others(finding)] for finding in left]
        erasure.report = {**erasure.report, FOUND: found}
        erasure.save(update_fields=["report"])


def of(erasure: Erasure) -> list[Finding]:
    """Return what the last scan stopped at."""
    return [_finding(*values) for values in erasure.report.get(FOUND, [])]


def accepted(erasure: Erasure) -> list[Accepted]:
    rows = erasure.report.get(ACCEPTED, [])
    return [Accepted(_finding(*values), because) for *values, because in rows]


def are_accepted(finding: Finding, known: Iterable[Accepted]) -> bool:
    """Say whether people have accepted so many at this place besides the rows that are kept."""
    same = [one.finding for one in known if one.finding.place == finding.place]
    return any(one.kind is finding.kind and one.count >= _others(finding) for one in same)


def accept(erasure: Erasure, because: str, by: User, now: datetime) -> None:
    """Say of all that the last scan stopped at that it is not the person; it is searched again.

    Raises NothingFound, ReasonMissing. Role `staff`.
    """
    words = " ".join(because.split())
    if not words:
        raise ReasonMissing
    with transaction.atomic():
        rows = Erasure.objects.select_for_update().filter(pk=erasure.pk)
        row = rows.filter(fault=Erasure.Fault.LEFTOVER, ended_at=None).first()
        if row is None or not row.report.get(FOUND):
            raise NothingFound
        told = [[*values, words] for values in row.report[FOUND]]
        row.report = {**row.report, FOUND: [], ACCEPTED: row.report.get(ACCEPTED, []) + told}
        row.due_at = min(row.due_at, now)
        row.save(update_fields=["report", "due_at"])
        audit.record_installation(by, "erasure.findings-accepted", row)


def _others(finding: Finding) -> int:
    """Return how many there are besides the rows that are kept, which go in their own time."""
    return finding.count - finding.kept


def _finding(place: str, kind: str, count: int) -> Finding:
    return Finding(place=place, kind=Kind(kind), count=count)
