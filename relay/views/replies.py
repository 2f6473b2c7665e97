# SPDX-License-Identifier: AGPL-3.0-or-later
"""The page that the SMTP server's replies link to; open to everybody, and it reads nothing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from relay.explanations import topics


@require_safe
def smtp_help(request: HttpRequest) -> HttpResponse:
    return render(request, "relay/help_smtp.html", {"topics": topics()})
