# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from gdpr.models.erasures import Erasure, ErasureStep, ErasureSubject, LedgerEntry
from gdpr.models.recipients import Recipient
from gdpr.models.requests import Request, RequestedRight, Right, Step
from gdpr.models.retention import RetentionGauge, RetentionRun

__all__ = [
    "Erasure",
    "ErasureStep",
    "ErasureSubject",
    "LedgerEntry",
    "Recipient",
    "Request",
    "RequestedRight",
    "RetentionGauge",
    "RetentionRun",
    "Right",
    "Step",
]
