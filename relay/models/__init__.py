# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from relay.models.credentials import Credential
from relay.models.destinations import Destination
from relay.models.domains import DkimKey, DkimSecret, DomainRecord, SendingDomain
from relay.models.holds import Hold, Quota
from relay.models.log import Ending, LogChoice, MessageHeader, Report
from relay.models.messages import (
    Attempt,
    Content,
    Delivery,
    HourKey,
    LogPeriod,
    Message,
    QueuedDelivery,
)
from relay.models.restrictions import Restriction
from relay.models.routes import EspEvent, Route
from relay.models.suppressions import Count, Review, Suppression

__all__ = [
    "Attempt",
    "Content",
    "Count",
    "Credential",
    "Delivery",
    "Destination",
    "DkimKey",
    "DkimSecret",
    "DomainRecord",
    "Ending",
    "EspEvent",
    "Hold",
    "HourKey",
    "LogChoice",
    "LogPeriod",
    "Message",
    "MessageHeader",
    "QueuedDelivery",
    "Quota",
    "Report",
    "Restriction",
    "Review",
    "Route",
    "SendingDomain",
    "Suppression",
]
