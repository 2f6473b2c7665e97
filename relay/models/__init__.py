# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from relay.models.credentials import Credential
from relay.models.domains import SendingDomain
from relay.models.holds import Hold, Quota
from relay.models.messages import (
    Attempt,
    Content,
    Delivery,
    HourKey,
    LogPeriod,
    Message,
    QueuedDelivery,
)
from relay.models.routes import Route

__all__ = [
    "Attempt",
    "Content",
    "Credential",
    "Delivery",
    "Hold",
    "HourKey",
    "LogPeriod",
    "Message",
    "QueuedDelivery",
    "Quota",
    "Route",
    "SendingDomain",
]
