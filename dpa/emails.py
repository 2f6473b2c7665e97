# SPDX-License-Identifier: AGPL-3.0-or-later
"""The mails about agreements; each is written in the transaction of its act."""

from __future__ import annotations

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.emails import Enclosure, Link, to_address, to_person
from accounts.models import User
from dpa.models import Agreement

# Why a version that the customer has signed does not get the seal.
REASONS: dict[str, Promise] = {
    "staff": _("Somebody at our end has looked at it and not set our seal."),
    "ending": _("Your organisation is closing, so there is nothing more to agree on."),
    "too-old": _("Our seal did not come in time."),
    "changed": _("Something in it has changed since it was signed for you."),
}


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


def unsealed(agreement: Agreement, user: User, reason: str) -> None:
    """Tell one of the customer's people that a signed version is closed; a key of REASONS."""
    context = _context(agreement) | {"reason": REASONS[reason]}
    to_person("dpa/unsealed", user, context, agreement.organisation_id)


def _context(agreement: Agreement) -> dict[str, object]:
    return {
        "organisation": agreement.organisation,
        "number": agreement.number,
        "link": Link("dpa:agreements"),
    }


def _file(pdf: bytes) -> tuple[Enclosure, ...]:
    return (Enclosure("databehandleraftale.pdf", "application/pdf", pdf),)
