# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of sending: no secret, no whole address."""

from __future__ import annotations

from relay.admin.credentials import CredentialAdmin
from relay.admin.domains import DkimKeyAdmin, SendingDomainAdmin
from relay.admin.log import LogChoiceAdmin
from relay.admin.queue import HoldAdmin, QueuedDeliveryAdmin, QuotaAdmin
from relay.admin.routes import RouteAdmin
from relay.admin.suppressions import ReviewAdmin, SuppressionAdmin

__all__ = [
    "CredentialAdmin",
    "DkimKeyAdmin",
    "HoldAdmin",
    "LogChoiceAdmin",
    "QueuedDeliveryAdmin",
    "QuotaAdmin",
    "ReviewAdmin",
    "RouteAdmin",
    "SendingDomainAdmin",
    "SuppressionAdmin",
]
