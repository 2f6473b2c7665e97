# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public page that judges a PDF, and what a reader needs to judge one elsewhere."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_safe

from accounts import clock, limits, uploads
from accounts.access import outside_context
from accounts.refusals import Refused
from accounts.views.answers import form_page, limited
from dpa import checking, press
from dpa.forms import CheckForm
from dpa.words import finding, verdict
from gdpr import seals

PAGE = "dpa/verify.html"


# Whoever looks for the token reads the whole form: that is left until the form may be read.
@csrf_exempt
@form_page
@outside_context
@never_cache
def verify(request: HttpRequest) -> HttpResponse:
    """Judge an uploaded file; nothing of it is kept."""
    if request.method == "POST":
        try:
            uploads.demand_small(request, checking.TooLarge)
            limits.check_address(checking.CHECKS, limits.client_address(request))
        except Refused as refused:
            return _refused(request, refused)
    return _verify(request)


@csrf_protect
def _verify(request: HttpRequest) -> HttpResponse:
    form = CheckForm(request.POST or None, request.FILES or None)
    if not form.is_valid():
        return render(request, PAGE, {"form": form})
    try:
        judgement = checking.judge(form.cleaned_data["file"].read(), clock.now())
    except Refused as refused:
        return _refused(request, refused)
    context = {
        "form": CheckForm(),
        "judgement": judgement,
        "verdict": verdict(judgement),
        "findings": [finding(found) for found in judgement.verification.signatures],
    }
    return render(request, PAGE, context)


def _refused(request: HttpRequest, refused: Refused) -> HttpResponse:
    """Say why, beside an empty form: the one that was sent may not have been read at all."""
    context = {"form": CheckForm(), "refused": str(refused)}
    return limited(render(request, PAGE, context), refused)


@require_safe
@outside_context
def trust_root(request: HttpRequest) -> HttpResponse:
    """Give out the certificate that our signatures lead to, for other readers to trust."""
    headers = {"Content-Disposition": 'attachment; filename="brevdue-root.pem"'}
    content = seals.trust_root(clock.now())
    return HttpResponse(content, content_type="application/x-pem-file", headers=headers)


@require_safe
@outside_context
def schema(request: HttpRequest) -> HttpResponse:
    """Give out the JSON Schema of the data that every agreement encloses."""
    return HttpResponse(press.SCHEMA.read_bytes(), content_type="application/schema+json")
