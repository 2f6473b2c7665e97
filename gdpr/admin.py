# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of duties."""

from __future__ import annotations

from gdpr.queue import RequestedRightAdmin

__all__ = ["RequestedRightAdmin"]
