# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of duties."""

from __future__ import annotations

from gdpr.admin.registers import RecipientAdmin, RetentionRunAdmin
from gdpr.admin.requests import RequestedRightAdmin

__all__ = ["RecipientAdmin", "RequestedRightAdmin", "RetentionRunAdmin"]
