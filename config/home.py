# SPDX-License-Identifier: AGPL-3.0-or-later
"""The front page: what the service is, or, signed in, how it stands with the organisation."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return render(request, "config/landing.html")
    if cast(PortalRequest, request).membership is None:
        return redirect("accounts:organisations")
    return render(request, "config/dashboard.html")
