# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the acts on waiting mail are asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from relay import holding
from relay.scopes import Scope


def address(act: str, scope: Scope) -> str:
    """Return where an act on the scope is asked for."""
    if scope.message_id:
        return reverse(f"relay:{act}", args=[scope.message_id])
    query = urlencode(domains(scope))
    return reverse(f"relay:{act}-all") + (f"?{query}" if query else "")


def domains(scope: Scope) -> dict[str, str]:
    """Return the scope's domain as the query says it."""
    if scope.recipient_domain:
        return {"to": scope.recipient_domain}
    return {"domain": scope.domain} if scope.domain else {}


def acts_on(scope: Scope, now: datetime) -> dict[str, Any]:
    """Return the addresses of what can be done, and whether just this is held."""
    addresses = {act: address(act, scope) for act in ("retry", "hold", "release", "cancel")}
    return {"scope": scope, "is_held": holding.is_held(scope, now), "acts": addresses}
