# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure must leave, on what ground, until when: the words for plan and certificate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Max, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from gdpr.deadlines import day_of
from gdpr.registry import Entry, Eraser, LegalBasis, Purpose


class Ground(TextChoices):
    """Why a row outlives the erasure of its subject."""

    LEGAL_DUTY = "legal-duty", _("a law demands it: GDPR article 17(3)(b)")
    LEGAL_CLAIMS = "legal-claims", _("legal claims: GDPR article 17(3)(e)")
    CUSTOMER = "customer", _("needed for the customer's contract: GDPR article 17(1)(a)")
    PROOF = "proof", _("proof of the erasure and safety after a restore: GDPR articles 5(2) and 32")
    SHORT = "short", _("goes by itself within its short period: GDPR article 5(1)(e)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """So many rows of a table, and the day on which the last of them goes where that is known."""

    model: str
    rows: int
    ground: Ground
    until_on: date | None

    @property
    def is_lasting(self) -> bool:
        """Whether something that was asked for is not done: partial is never shown as done.

        Keyed hashes in the ledger are what the erasure itself leaves.
        """
        return self.ground not in (Ground.SHORT, Ground.PROOF)


def ground_of(entry: Entry, eraser: Eraser) -> Ground | None:
    """Return why rows of this table stay, None when they do not."""
    if eraser is Eraser.EXPIRY:
        return Ground.SHORT
    if eraser is Eraser.ORGANISATION:
        return Ground.CUSTOMER
    if eraser is Eraser.HOLD and Purpose.RIGHTS in entry.purposes:
        return Ground.PROOF
    if eraser is Eraser.HOLD:
        return Ground.LEGAL_DUTY if entry.basis is LegalBasis.DUTY else Ground.LEGAL_CLAIMS
    return None


def end_of(entry: Entry, rows: QuerySet[Any]) -> date | None:
    """Return when the youngest row has had its period, None where an event ends it.

    A row whose clock has not begun, as of an agreement in force, awaits an event as well.
    """
    keep = entry.keep
    if keep is None or keep.period is None or rows.filter(**{keep.clock: None}).exists():
        return None
    newest: datetime | date | None = rows.aggregate(newest=Max(keep.clock))["newest"]
    if newest is None:
        return None
    end = newest + keep.period.length
    return day_of(end) if isinstance(end, datetime) else end
