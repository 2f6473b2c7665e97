# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of duties."""

from __future__ import annotations

from gdpr.queue import RequestedRightAdmin
from gdpr.registers import RecipientAdmin, RetentionRunAdmin

__all__ = ["RecipientAdmin", "RequestedRightAdmin", "RetentionRunAdmin"]
