# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the pages have in common: how a refusal is shown, and where a person goes on to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.translation import override
from django.views.decorators.http import require_http_methods

from accounts import stepup
from accounts.access import View, current_person, is_verified
from accounts.limits import TooMany
from accounts.middleware import ONWARD_KEY
from accounts.refusals import NotAllowed, Refused
from accounts.twofactor import has_device

form_page = require_http_methods(["GET", "HEAD", "POST"])


def refusal(
    request: HttpRequest, template: str, form: BaseForm, refused: Refused, **more: Any
) -> HttpResponse:
    """Show the form again, as it was filled in, with the sentence that says why."""
    form.add_error(None, str(refused))
    return limited(render(request, template, {"form": form, **more}), refused)


def dead_link(request: HttpRequest, refused: Refused) -> HttpResponse:
    """Say why a link from a mail opens nothing, and which ways there are from here."""
    response = render(request, "accounts/dead_link.html", {"reason": str(refused)}, status=404)
    return limited(response, refused)


def limited(response: HttpResponse, refused: Refused) -> HttpResponse:
    """Return the answer, marked as one of too many when that is why the act was refused."""
    if isinstance(refused, TooMany):
        response.status_code = 429
        response.headers["Retry-After"] = str(refused.retry_after)
    return response


def refusals_to(url_name: str) -> Callable[[View], View]:
    """Turn a refusal of the view's act into a message on another page; a wrong role into 403."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except NotAllowed as refused:
                raise PermissionDenied from refused
            except Refused as refused:
                messages.error(request, str(refused))
                return redirect(url_name)

        return guarded

    return decorate


def remember_destination(request: HttpRequest) -> None:
    """Keep where the person was going (`next`) while they prove who they are."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(target, hosts, require_https=request.is_secure()):
        request.session[ONWARD_KEY] = target


def destination(request: HttpRequest) -> str:
    """Return the address the person was going to, or the front page in their language."""
    with override(current_person(request).language):
        front = resolve_url(settings.LOGIN_REDIRECT_URL)
    return str(request.session.get(ONWARD_KEY) or front)


def onward(request: HttpRequest) -> HttpResponse:
    """Send the person where they were going."""
    target = destination(request)
    request.session.pop(ONWARD_KEY, None)
    return redirect(target)


def step_up_required(view: View) -> View:
    """Open a view to a person who has proved within the last minutes that it is them."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        person = current_person(request)
        if has_device(person) and not is_verified(person):
            return redirect("accounts:second-factor")
        if not stepup.is_fresh(request):
            asked = urlencode({"next": request.path})
            return redirect(f"{resolve_url('accounts:step-up')}?{asked}")
        return view(request, *args, **kwargs)

    return guarded
