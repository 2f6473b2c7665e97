# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from gdpr.models.approvals import Approval
from gdpr.models.claims import Claim
from gdpr.models.corrections import Correction
from gdpr.models.correspondents import AddressErasure, AddressPackage
from gdpr.models.enquiries import Enquiry, ForwardedRequest
from gdpr.models.erasures import Erasure, ErasureStep, ErasureSubject, HeldRow, LedgerEntry
from gdpr.models.imports import Import
from gdpr.models.letters import Letter
from gdpr.models.packages import Package
from gdpr.models.propagation import Notice
from gdpr.models.recipients import Recipient
from gdpr.models.releases import Release
from gdpr.models.requests import Request, RequestedRight, Right, Step
from gdpr.models.restrictions import PersonRestriction
from gdpr.models.retention import RetentionGauge, RetentionRun

__all__ = [
    "AddressErasure",
    "AddressPackage",
    "Approval",
    "Claim",
    "Correction",
    "Enquiry",
    "Erasure",
    "ErasureStep",
    "ErasureSubject",
    "ForwardedRequest",
    "Import",
    "HeldRow",
    "LedgerEntry",
    "Letter",
    "Notice",
    "Package",
    "PersonRestriction",
    "Recipient",
    "Release",
    "Request",
    "RequestedRight",
    "RetentionGauge",
    "RetentionRun",
    "Right",
    "Step",
]
