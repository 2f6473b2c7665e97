# SPDX-License-Identifier: AGPL-3.0-or-later
"""The piece of the front page about agreements."""

from __future__ import annotations

from datetime import datetime

from accounts.models import Membership
from dpa import offering, sealing, signatories
from relay.panels import Panel


def agreement(membership: Membership, now: datetime) -> Panel | None:
    """Return what is left until an agreement is in force, None when one is."""
    organisation_id = membership.organisation_id
    if not signatories.may_read(membership) or offering.in_force(organisation_id):
        return None
    data = {
        "waiting": offering.open_version(organisation_id),
        "by_staff": sealing.is_held(),
        "may_sign": signatories.may_sign(membership),
        "sending_allowed": membership.organisation.sending_allowed,
    }
    return Panel("dpa/panels/agreement.html", data)
