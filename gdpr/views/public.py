# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages that anybody reads without being known: privacy notice, retention table, recipients.

Each is written from the inventory and the register; reading them sets no cookie.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import while_restricted
from accounts.countries import country_choices
from gdpr import deadlines, notice, recipients


@require_safe
@while_restricted
def privacy(request: HttpRequest) -> HttpResponse:
    people = notice.about_people()
    context = {
        "people": people,
        "correspondents": notice.about_correspondents(),
        "interests": notice.interests(people),
        "cookies": notice.cookies(),
        "transfers": _named(recipients.outside_eea(deadlines.day_of(clock.now()))),
        "promised_days": deadlines.PROMISED_DAYS,
        "operator": settings,
        "operator_country": _country(settings.OPERATOR_COUNTRY),
    }
    return render(request, "gdpr/privacy.html", context)


@require_safe
@while_restricted
def retention(request: HttpRequest) -> HttpResponse:
    context = {
        "people": notice.about_people(),
        "correspondents": notice.about_correspondents(),
        "stores": notice.personal_stores(),
    }
    return render(request, "gdpr/retention.html", context)


@require_safe
@while_restricted
def recipient_list(request: HttpRequest) -> HttpResponse:
    rows = _named(recipients.in_force(deadlines.day_of(clock.now())))
    return render(request, "gdpr/recipients.html", {"rows": rows})


def _named(rows: recipients.Rows) -> list[dict[str, object]]:
    """Return rows with the name of their country in the active language."""
    return [{"row": row, "country": _country(row.country)} for row in rows]


def _country(code: str) -> str:
    return dict(country_choices()).get(code, code)
