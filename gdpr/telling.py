# SPDX-License-Identifier: AGPL-3.0-or-later
"""Letters to recipients about what became of data that they were given (GDPR article 19)."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings

from accounts.emails import to_address
from gdpr.models import Notice


def notice(row: Notice, account: UUID) -> None:
    """Tell a recipient what became of the data of an account; its number is all that is said."""
    language = "da" if row.recipient.country == "DK" else "en"
    to_address("gdpr/notice", row.recipient.contact, language, _of(row, account))


def notice_by_hand(row: Notice, account: UUID) -> None:
    """Ask our own desk to tell a recipient that no mail reaches."""
    contact, language = settings.PRIVACY_EMAIL, settings.LANGUAGE_CODE
    to_address("gdpr/notice_by_hand", contact, language, _of(row, account))


def _of(row: Notice, account: UUID) -> dict[str, object]:
    return {
        "row": row,
        "account": account,
        "operator": settings.OPERATOR_NAME,
        "contact": settings.PRIVACY_EMAIL,
    }
