# SPDX-License-Identifier: AGPL-3.0-or-later
"""The audit trail of the organisation, to read."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.access import current_organisation, member_required
from accounts.audit import trail
from accounts.models import AuditEvent, Role
from accounts.models.organisations import KEEPERS


@require_safe
@member_required(*KEEPERS, Role.PRIVACY)
def audit_trail(request: HttpRequest) -> HttpResponse:
    events = AuditEvent.objects.for_organisation(current_organisation(request).id)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        events = events.filter(sequence__lt=int(before))
    rows = list(events.order_by("-sequence")[: trail.PAGE_LENGTH + 1])
    shown = rows[: trail.PAGE_LENGTH]
    here = reverse("accounts:audit-trail")
    context = {
        "lines": trail.lines(shown),
        "newest": here if before else "",
        "older": f"{here}?before={shown[-1].sequence}" if len(rows) > len(shown) else "",
    }
    return render(request, "accounts/audit_trail.html", context)
