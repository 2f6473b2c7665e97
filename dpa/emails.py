# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mails about agreements; each is written in the transaction of its act."""

from __future__ import annotations

from django.conf import settings

from accounts.emails import Enclosure, Link, to_address, to_person
from accounts.models import User
from dpa.models import Agreement


def complete(agreement: Agreement, user: User, pdf: bytes) -> None:
    """Hand the agreement that both parties have signed to one of the customer's people."""
    to_person("dpa/complete", user, _context(agreement), agreement.organisation_id, _file(pdf))


def complete_for_operator(agreement: Agreement, pdf: bytes) -> None:
    """Hand it to the operator's desk for data protection."""
    language = settings.LANGUAGE_CODE
    to_address(
        "dpa/complete_for_operator",
        settings.PRIVACY_EMAIL,
        language,
        _context(agreement),
        agreement.organisation_id,
        _file(pdf),
    )


def _context(agreement: Agreement) -> dict[str, object]:
    return {
        "organisation": agreement.organisation,
        "number": agreement.number,
        "link": Link("dpa:agreements"),
    }


def _file(pdf: bytes) -> tuple[Enclosure, ...]:
    return (Enclosure("databehandleraftale.pdf", "application/pdf", pdf),)
