# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit trail: who did what to which row."""

from __future__ import annotations

from accounts.audit.events import (
    AUDIT_DAYS,
    DELETED,
    actor_id,
    anchor_heads,
    count_expiring,
    expire,
    prepare,
    record,
    record_installation,
    verify,
)

__all__ = [
    "AUDIT_DAYS",
    "DELETED",
    "actor_id",
    "anchor_heads",
    "count_expiring",
    "expire",
    "prepare",
    "record",
    "record_installation",
    "verify",
]
