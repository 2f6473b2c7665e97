# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who gets personal data: the register's rows in force, and who may come in.

Access answers, the records of article 30, the public list and the agreement's annex read this.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.audit import record_installation
from accounts.models import User
from accounts.refusals import Refused
from gdpr.inventory import personal_entries
from gdpr.models import Recipient
from gdpr.registry import Audience, Entry, Role

# The European Union, Iceland, Liechtenstein and Norway (EEA Agreement, article 126).
_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EEA = frozenset([*_UNION.split(), "IS", "LI", "NO"])


class OutsideEea(Refused):
    text: Promise = _("This service keeps personal data inside the EEA (EEA_ONLY).")


class NoGrounds(Refused):
    text: Promise = _("Outside the EEA, data may only go on stated grounds (GDPR chapter V).")


class OwnSupplier(Refused):
    text: Promise = _("A supplier cannot be engaged by itself.")


Rows: TypeAlias = QuerySet[Recipient]


def in_force(on: date) -> Rows:
    """Return who gets data on a day, the operator's own suppliers first."""
    rows = Recipient.objects.filter(Q(ends_on=None) | Q(ends_on__gt=on), starts_on__lte=on)
    return rows.select_related("engaged_by").order_by("engaged_by__name", "name")


def of(audience: Audience, on: date) -> Rows:
    """Return the actual recipients of a category on a day (GDPR article 15(1)(c))."""
    return in_force(on).filter(services__contains=[audience.value])


def subprocessors(on: date) -> Rows:
    """Return who processes customers' mail for the operator (GDPR article 28(2) and (4))."""
    return in_force(on).filter(services__overlap=[audience.value for audience in _processing()])


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


def _processing() -> frozenset[Audience]:
    """Return the categories that data are given to which the operator only processes."""
    entries = [entry for entry in personal_entries() if entry.role is Role.PROCESSOR]
    return frozenset(audience for entry in entries for audience in entry.audiences)


@transaction.atomic
def enter(row: Recipient, values: Mapping[str, Any], *, by: User) -> Recipient:
    """Write values to a row, new or not, and save it. Raises OutsideEea, NoGrounds, OwnSupplier."""
    is_new = row._state.adding
    changed = [name for name, value in values.items() if is_new or getattr(row, name) != value]
    for name in changed:
        setattr(row, name, values[name])
    _refuse(row)
    row.save()
    if changed:
        act = "recipient.entered" if is_new else "recipient.changed"
        record_installation(by, act, row, changed)
    return row


def _refuse(row: Recipient) -> None:
    if row.engaged_by_id == row.pk:
        raise OwnSupplier
    if row.country in EEA:
        return
    if settings.EEA_ONLY:
        raise OutsideEea
    if row.transfer == Recipient.Transfer.NONE:
        raise NoGrounds
