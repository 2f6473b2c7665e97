# SPDX-License-Identifier: AGPL-3.0-or-later
"""A request to the service itself, of whoever has an account with the proven address."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from accounts.models import User
from accounts.refusals import Refused
from gdpr import intake, requests
from gdpr.correspondents.addresses import written
from gdpr.enquiries.asking import Asked
from gdpr.models import Enquiry, Request


def open_request(enquiry: Enquiry, asked: Asked, now: datetime) -> None:
    """Open the person's request, received when the form was; nothing without an account."""
    person = User.objects.filter(email__in=written(asked.address), is_active=True).first()
    if person is None:
        return
    # What is under way is answered already.
    with suppress(Refused):
        intake.open_proven(
            person,
            dict.fromkeys(asked.rights, asked.words),
            now,
            channel=Request.Channel.FORM,
            received_at=enquiry.received_at,
            by=requests.person(person),
            language=asked.language,
        )
