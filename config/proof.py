# SPDX-License-Identifier: AGPL-3.0-or-later
"""The proof page: what the last look at each promise saw, and how it stands with one customer."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import PortalRequest, member_required
from accounts.models import Membership, PromiseResult, Role
from config.promises import PROMISES
from relay import evidence


@require_safe
@member_required(*Role)
def proof(request: HttpRequest) -> HttpResponse:
    membership = cast(Membership, cast(PortalRequest, request).membership)
    results = PromiseResult.objects.in_bulk()
    lines = [
        {"promise": promise, "result": results.get(promise.id)}
        for promise in sorted(PROMISES, key=lambda promise: promise.id)
    ]
    context = {
        "lines": lines,
        "organisation": membership.organisation,
        "mail": evidence.of_mail(membership.organisation_id),
    }
    return render(request, "config/proof.html", context)
