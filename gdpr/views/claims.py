# SPDX-License-Identifier: AGPL-3.0-or-later
"""The link that asks somebody whether a request in their name is theirs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from accounts import clock
from accounts.access import while_restricted
from accounts.refusals import Refused
from accounts.views.answers import dead_link, form_page
from gdpr import claims


@form_page
@while_restricted
@never_cache
def identity_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Say that a request is one's own, signed in or not; reading changes nothing."""
    try:
        if request.method == "POST":
            claims.confirm(token, clock.now())
            return render(request, "gdpr/identity_confirmed.html")
        claims.check_link(token)
    except Refused as refused:
        return dead_link(request, refused)
    return render(request, "gdpr/identity_confirm.html")
