# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who gets personal data: the register's rows in force, and who may come in.

Access answers, the records of article 30, the public list and the agreement's annex read this.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from datetime import date, timedelta
from typing import TypeAlias

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import clock
from accounts.audit import record_installation
from accounts.models import User
from gdpr import eea
from gdpr.deadlines import day_of
from gdpr.inventory import personal_entries
from gdpr.models import Recipient
from gdpr.registry import Audience, Entry, Role

EEA = eea.COUNTRIES
# A supplier's keeping of its contract is looked at again within so many days (article 28(4)).
REVIEW_DAYS = 365
# Agreements say how early customers are told of a new sub-processor; named, for they stand above.
EARLIEST_START = "dpa.objection:earliest_start"
# A change of these makes another sub-processor of it. A name may be spelt anew: who it is, the
# company number says.
SUBSTANCE = frozenset(
    {"services", "country", "transfer", "starts_on", "company_number", "engaged_by"}
)
Rows: TypeAlias = QuerySet[Recipient]


def in_force(on: date) -> Rows:
    """Return who gets data on a day, the operator's own suppliers first."""
    return (
        _between(on, on)
        .select_related("engaged_by")
        .order_by(F("engaged_by__name").asc(nulls_first=True), "name")
    )


def of(audience: Audience, since: date, on: date) -> Rows:
    """Return the actual recipients of a category from one day to another.

    Data have been disclosed to those whose contract ended meanwhile (GDPR article 15(1)(c)).
    """
    return of_any([audience], since, on)


def of_any(audiences: Iterable[Audience], since: date, on: date) -> Rows:
    """Return the actual recipients of some categories, as `of` does of one; each row once."""
    services = [audience.value for audience in audiences]
    rows = _between(since, on).filter(services__overlap=services)
    return rows.order_by(F("ends_on").desc(nulls_first=True), "name")


def was_given(row: Recipient, since: date, on: date) -> bool:
    """Say whether one got data on any day from `since` to `on`, as `_between` asks the database."""
    return row.starts_on <= on and (row.ends_on is None or row.ends_on > since)


def subprocessors(on: date) -> Rows:
    """Return who processes customers' mail for the operator (GDPR article 28(2) and (4))."""
    return in_force(on).filter(services__overlap=[audience.value for audience in _processing()])


def unreviewed(on: date) -> Rows:
    """Return whose contract nobody has looked at for longer than REVIEW_DAYS."""
    return in_force(on).filter(reviewed_on__lt=on - timedelta(days=REVIEW_DAYS))


def demand_notice(services: Iterable[str], starts_on: date) -> None:
    """Ask of a sub-processor that customers can be told, and object, before it starts.

    Raises Django's ValidationError (GDPR article 28(2)).
    """
    if not {audience.value for audience in _processing()} & set(services):
        return
    earliest: date | None = pkgutil.resolve_name(EARLIEST_START)(day_of(clock.now()))
    if earliest and starts_on < earliest:
        told = _(
            "Customers with an agreement are told first and may object: a new or changed"
            " sub-processor starts on %(day)s at the earliest. Enter a change as a new row."
        )
        raise ValidationError({"starts_on": told % {"day": earliest.isoformat()}})


def needs_notice(row: Recipient, changed: Iterable[str], ends_on: date | None) -> bool:
    """Return whether a row becomes another recipient than is kept, or brings back one that ended.

    `changed` names its fields that were, `ends_on` is the end that it gets.
    """
    if row._state.adding or SUBSTANCE & set(changed):
        return True
    today = day_of(clock.now())
    has_ended = Recipient.objects.filter(pk=row.pk, ends_on__lte=today).exists()
    return has_ended and (ends_on is None or ends_on > today)


def entries_for(row: Recipient) -> tuple[Entry, ...]:
    """Return the tables of which a recipient gets data by its services."""
    services = set(row.services)
    return tuple(
        entry
        for entry in personal_entries()
        if services & {audience.value for audience in entry.audiences}
    )


def outside_eea(on: date) -> Rows:
    """Return the recipients whose place is a transfer to a third country."""
    return in_force(on).exclude(country__in=EEA)


def _between(since: date, on: date) -> Rows:
    """Return who got data on any day from `since` to `on`."""
    return Recipient.objects.filter(Q(ends_on=None) | Q(ends_on__gt=since), starts_on__lte=on)


def _processing() -> frozenset[Audience]:
    """Return the categories that data are given to which the operator only processes."""
    entries = [entry for entry in personal_entries() if entry.role is Role.PROCESSOR]
    return frozenset(audience for entry in entries for audience in entry.audiences)


@transaction.atomic
def enter(row: Recipient, *, changed: Iterable[str], by: User | None) -> Recipient:
    """Save a row, new or not, that was filled in; `changed` names the fields that were.

    Raises Django's ValidationError: outside the EEA, without grounds, engaged by itself, too soon.
    """
    changed = frozenset(changed)
    act = "recipient.entered" if row._state.adding else "recipient.changed"
    row.full_clean()
    if needs_notice(row, changed, row.ends_on):
        demand_notice(row.services, row.starts_on)
    row.save()
    record_installation(by, act, row, changed)
    return row
