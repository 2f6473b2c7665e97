# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages that no view answers with: nothing at the address, a form without its token."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views import csrf, defaults

from accounts.middleware import own_frame


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    with own_frame(request):
        return defaults.page_not_found(request, exception)


def form_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The browser sent no token, or another's."""
    with own_frame(request):
        return csrf.csrf_failure(request, reason)
