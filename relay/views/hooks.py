# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where providers report what became of mail that they took; the secret is in the address."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts import clock
from accounts.access import outside_context
from accounts.limits import TooMany
from relay import espinbox as inbox
from relay.esp.events import Unreadable, Untrusted


# No browser and nobody signed in: there is no form, and no cookie that could be misused.
@csrf_exempt
@never_cache
@outside_context
@require_http_methods(["HEAD", "POST"])
def esp_hook(request: HttpRequest, made: str) -> HttpResponse:
    """Keep a report. Any other answer than 2xx makes the provider report again later."""
    hook = inbox.find(made)
    if hook is None:
        raise Http404
    if request.method == "HEAD":  # some ask whether anybody is there before they save an address
        return HttpResponse()
    if int(request.META.get("CONTENT_LENGTH") or 0) > inbox.LARGEST:
        return HttpResponse(status=413)
    try:
        inbox.keep(hook, request, clock.now())
    except TooMany as too_many:
        return HttpResponse(status=429, headers={"Retry-After": str(too_many.retry_after)})
    except Untrusted:
        return HttpResponse(status=403)
    except Unreadable:
        return HttpResponse(status=400)
    return HttpResponse()
