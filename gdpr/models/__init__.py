# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from gdpr.models.requests import Request, RequestedRight, Right, Step

__all__ = ["Request", "RequestedRight", "Right", "Step"]
