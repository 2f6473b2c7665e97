# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is filled into letters: who we are, whom one complains to, which request it is about."""

from __future__ import annotations

from datetime import date

from django.conf import settings
from django.utils import translation
from django.utils.formats import date_format

from accounts.emails import Link
from accounts.models import User
from gdpr import deadlines
from gdpr.models import RequestedRight, Right

# Whoever had the data from us is told of these (article 19).
TOLD_TO_OTHERS = frozenset({Right.RECTIFICATION, Right.ERASURE, Right.RESTRICTION})
YES = "yes"


def of_operator() -> dict[str, str]:
    """Return who answers and whom one can complain to, as the settings say now."""
    return {
        "operator": settings.OPERATOR_NAME,
        "operator_address": settings.OPERATOR_ADDRESS,
        "operator_postcode": settings.OPERATOR_POSTCODE,
        "operator_city": settings.OPERATOR_CITY,
        "company_number": settings.OPERATOR_COMPANY_NUMBER,
        "contact": settings.PRIVACY_CONTACT,
        "privacy_email": settings.PRIVACY_EMAIL,
        "authority": settings.AUTHORITY_NAME,
        "authority_address": settings.AUTHORITY_ADDRESS,
        "authority_site": settings.AUTHORITY_URL,
    }


def of_right(row: RequestedRight, person: User) -> dict[str, str]:
    """Return what a letter says of a request, in its language."""
    request, language, first = row.request, row.request.language, row.second_look_of
    with translation.override(language):
        return {
            "name": person.get_full_name(),
            "reference": request.reference,
            "right": str(Right(row.right).label),
            "received": on(deadlines.day_of(request.received_at), language),
            "link": str(Link("gdpr:request", str(row.request_id))),
            "second_look_link": str(Link("gdpr:second-look", str(row.request_id), row.right)),
            "first": first.request.reference if first else "",
            "tells_others": YES if row.right in TOLD_TO_OTHERS else "",
        }


def on(day: date, language: str) -> str:
    """Return a day as it is written in a language."""
    with translation.override(language):
        return str(date_format(day, "DATE_FORMAT"))
