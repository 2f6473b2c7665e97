# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of duties."""

from __future__ import annotations

from gdpr.admin.addresserasures import AddressErasureAdmin
from gdpr.admin.erasures import ErasureAdmin
from gdpr.admin.forwarded import ForwardedRequestAdmin
from gdpr.admin.letters import LetterAdmin
from gdpr.admin.officers import ApprovalAdmin
from gdpr.admin.registers import RecipientAdmin, RetentionRunAdmin
from gdpr.admin.releases import ReleaseAdmin
from gdpr.admin.requests import RequestedRightAdmin
from gdpr.admin.restrictions import NoticeAdmin, PersonRestrictionAdmin

__all__ = [
    "AddressErasureAdmin",
    "ApprovalAdmin",
    "ErasureAdmin",
    "ForwardedRequestAdmin",
    "LetterAdmin",
    "NoticeAdmin",
    "PersonRestrictionAdmin",
    "RecipientAdmin",
    "ReleaseAdmin",
    "RequestedRightAdmin",
    "RetentionRunAdmin",
]
