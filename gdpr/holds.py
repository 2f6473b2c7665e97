# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an erasure must leave, by which law, until when: the words for plan and certificate."""

from __future__ import annotations

import pkgutil
from calendar import monthrange
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import Max, QuerySet, TextChoices
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Organisation
from accounts.tenancy import TenantModel
from gdpr import inventory, subjects
from gdpr.deadlines import day_of
from gdpr.registry import Entry, Eraser, Held, Law, Role

# From the end of the financial year that the material is of: Danish Bookkeeping Act, section 12.
BOOKKEEPING_YEARS = 5


class Ground(TextChoices):
    """Why a row outlives the erasure of its subject."""

    LEGAL_DUTY = "legal-duty", _("a law demands it: GDPR article 17(3)(b)")
    LEGAL_CLAIMS = "legal-claims", _("legal claims: GDPR article 17(3)(e)")
    CUSTOMER = "customer", _("needed for the customer's contract: GDPR article 17(1)(a)")
    PROOF = "proof", _("proof of the erasure and safety after a restore: GDPR articles 5(2) and 32")
    SHORT = "short", _("goes by itself within its short period: GDPR article 5(1)(e)")

    @property
    def is_lasting(self) -> bool:
        """Whether something that was asked for is not done: partial is never shown as done.

        Keyed hashes in the ledger are what the erasure itself leaves.
        """
        return self not in (Ground.SHORT, Ground.PROOF)


GROUNDS = {
    Law.BOOKKEEPING: Ground.LEGAL_DUTY,
    Law.LIMITATION: Ground.LEGAL_CLAIMS,
    Law.CONTRACT: Ground.CUSTOMER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """So many rows of a table, and the day on which they go where that is known.

    Rows that a law holds go on the same day; of others it is the day of the last.
    """

    model: str
    rows: int
    ground: Ground
    law: Law | None = None
    until_on: date | None

    @property
    def is_lasting(self) -> bool:
        return self.ground.is_lasting


def ground_of(entry: Entry, eraser: Eraser) -> Ground | None:
    """Return why rows of this table stay, None when they do not."""
    if eraser is Eraser.EXPIRY:
        return Ground.SHORT
    if eraser not in (Eraser.HOLD, Eraser.ORGANISATION):
        return None
    return GROUNDS[entry.held.law] if entry.held else Ground.PROOF


def of(entry: Entry, ground: Ground, rows: QuerySet[Any]) -> Iterator[Hold]:
    """Yield what stays of a table: of rows that a law holds, one for each day that they end on."""
    if entry.held and ground.is_lasting:
        counted = Counter(ends(entry.held, rows).values())
        for until_on in sorted(counted, key=lambda day: day or date.max):
            yield Hold(
                model=entry.model,
                rows=counted[until_on],
                ground=ground,
                law=entry.held.law,
                until_on=until_on,
            )
    elif count := rows.count():
        until_on = _end_of_the_last(entry, rows)
        yield Hold(model=entry.model, rows=count, ground=ground, until_on=until_on)


def ends(held: Held, rows: QuerySet[Any]) -> dict[Any, date | None]:
    """Return, by primary key, the last day on which each row is kept.

    None for a row whose time has not begun, as of an agreement in force.
    """
    if not held.clock:
        return dict.fromkeys(rows.values_list("pk", flat=True))
    return {key: _last_day(held, since) for key, since in rows.values_list("pk", held.clock)}


def has_ended(held: Held, row: Any, until_on: date | None, today: date) -> bool:
    """Say whether the law no longer holds a row that it holds until a day, where one is known."""
    if held.over:
        return bool(pkgutil.resolve_name(held.over)(row))
    return until_on is not None and until_on < today


def end_of_bookkeeping(day: date) -> date:
    """Return the last day on which material of `day` must be kept: the end of a month."""
    month = settings.FINANCIAL_YEAR_LAST_MONTH
    year = day.year + (day.month > month) + BOOKKEEPING_YEARS
    return date(year, month, monthrange(year, month)[1])


def has_left(row: Organisation | TenantModel) -> bool:
    """Say whether the contract of a customer, or of whose row it is, holds nothing any more.

    The account is closing or closed: nobody belongs to it, what was processed for it is gone, and
    no law keeps a row of it as evidence. One that is closing still has its mail delivered.
    """
    organisation = row if isinstance(row, Organisation) else row.organisation
    if organisation.standing not in Organisation.ENDING:
        return False
    kept: list[type[TenantModel]] = [Membership, *processed(), *_held_by_a_law()]
    return not any(model.objects.for_organisation(organisation.pk).exists() for model in kept)


def processed() -> Iterator[type[TenantModel]]:
    """Yield the tables that hold what is processed for customers."""
    for entry in inventory.personal_entries():
        model = subjects.model_of(entry)
        if entry.role is Role.PROCESSOR and issubclass(model, TenantModel):
            yield model


def _held_by_a_law() -> Iterator[type[TenantModel]]:
    for entry in inventory.ENTRIES:
        model = subjects.model_of(entry)
        is_evidence = entry.held is not None and entry.held.law is not Law.CONTRACT
        if is_evidence and issubclass(model, TenantModel):
            yield model


def _last_day(held: Held, since: datetime | date | None) -> date | None:
    if since is None:
        return None
    if held.law is Law.BOOKKEEPING:
        return end_of_bookkeeping(_day(since))
    assert held.period is not None, "a check sees to it"
    return _day(since + held.period.length)


def _end_of_the_last(entry: Entry, rows: QuerySet[Any]) -> date | None:
    """Return when the youngest row has had its period, None where an event ends it."""
    keep = entry.keep
    if keep is None or keep.period is None:
        return None
    newest: datetime | date | None = rows.aggregate(newest=Max(keep.clock))["newest"]
    return None if newest is None else _day(newest + keep.period.length)


def _day(at: datetime | date) -> date:
    return day_of(at) if isinstance(at, datetime) else at
