# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from gdpr.models.erasures import Erasure, ErasureStep, ErasureSubject, LedgerEntry
from gdpr.models.requests import Request, RequestedRight, Right, Step
from gdpr.models.retention import RetentionRun

__all__ = [
    "Erasure",
    "ErasureStep",
    "ErasureSubject",
    "LedgerEntry",
    "Request",
    "RequestedRight",
    "RetentionRun",
    "Right",
    "Step",
]
