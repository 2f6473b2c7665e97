# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sheet of an access answer: article 15(1)(a)-(h) and (2), filled from the inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.conf import settings
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import Membership, User
from gdpr import deadlines, documents, recipients
from gdpr.inventory import STORES
from gdpr.models import Recipient, Request
from gdpr.reading import Table
from gdpr.registry import Audience

TEMPLATE = "gdpr/documents/access_sheet.html"


@dataclass(frozen=True, slots=True)
class Audiences:
    """A category of recipients and who they are."""

    category: str
    names: list[str]


def render(person: User, request: Request, tables: Sequence[Table], now: datetime) -> bytes:
    """Return the sheet as PDF, in the active language."""
    kept = [table for table in tables if table.rows]
    context = {
        "person": person,
        "request": request,
        "received_on": deadlines.day_of(request.received_at),
        "kept": kept,
        "empty": [table for table in tables if not table.rows],
        "audiences": _audiences(person, kept, now),
        "outside": list(recipients.outside_eea(deadlines.day_of(now))),
        "stores": [store for store in STORES if store.is_personal],
        "settings": settings,
    }
    return documents.render(
        TEMPLATE,
        context,
        language=get_language() or settings.LANGUAGE_CODE,
        title=_("What is kept about you"),
        identifier=f"access-{request.id}",
        issued_at=now,
    )


def _audiences(person: User, tables: Sequence[Table], now: datetime) -> list[Audiences]:
    """Return the actual recipients of what is kept (ECJ C-154/21), by category."""
    wanted = dict.fromkeys(audience for table in tables for audience in table.entry.audiences)
    since, on = deadlines.day_of(person.created_at), deadlines.day_of(now)
    names = {audience: _names(audience, since, on) for audience in wanted}
    if Audience.ORGANISATION in names:
        names[Audience.ORGANISATION] += _organisations(person)
    return [Audiences(str(audience.label), names[audience]) for audience in wanted]


def _organisations(person: User) -> list[str]:
    """Return the customers that the person acts for, by name."""
    memberships = Membership.objects.filter(user=person).select_related("organisation")
    return sorted(membership.organisation.name for membership in memberships)


def _names(audience: Audience, since: date, on: date) -> list[str]:
    """Return who got data of a category since the account was made, former ones marked."""
    return [_name(row, on) for row in recipients.of(audience, since, on)]


def _name(row: Recipient, on: date) -> str:
    name = f"{row.name}, {row.country}"
    if row.ends_on is None or row.ends_on > on:
        return name
    until = date_format(row.ends_on, "DATE_FORMAT")
    return _("%(name)s, until %(day)s") % {"name": name, "day": until}
