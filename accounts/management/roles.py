# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands that see only part of the rows under another database role, and would report on it."""

from __future__ import annotations

from django.conf import settings
from django.core.management.base import CommandError


def demand_role(role: str) -> None:
    """Raises CommandError when DATABASE_ROLE, set outside, made this process another role's."""
    if role != settings.DATABASE_ROLE:
        raise CommandError(
            f"This command must run as the database role {role}, not {settings.DATABASE_ROLE}:"
            " unset DATABASE_ROLE."
        )
