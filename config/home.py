# SPDX-License-Identifier: AGPL-3.0-or-later
"""The front page: what the service is, or, signed in, how it stands with the organisation."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import PortalRequest
from dpa import panels as dpa
from gdpr.registry import days, hours
from relay import panels as relay

# In the order of the page; each leaves itself out where it has nothing to say.
PANELS = (dpa.agreement, relay.first_steps, relay.figures, relay.waiting, relay.routes)

# Written out when the page is, so that they are the figures in force.
FIGURES = {
    "queue_lifetime": hours("accounts.models.organisations:QUEUE_HOURS"),
    "log_period": days("relay.models.messages:LOG_DAYS"),
}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return render(request, "config/landing.html", FIGURES)
    membership = cast(PortalRequest, request).membership
    if membership is None:
        return redirect("accounts:organisations")
    now = clock.now()
    panels = [panel for make in PANELS if (panel := make(membership, now))]
    return render(request, "config/dashboard.html", {"panels": panels})
