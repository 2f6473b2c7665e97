# SPDX-License-Identifier: AGPL-3.0-or-later
"""A domain's mail that was stopped by figures: what they were. The page of another app, which this
one may name, asks for a person.
"""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import get_for_organisation, member_required
from accounts.models.organisations import READERS
from relay import bouncerates
from relay.models import Review


@require_safe
@member_required(*READERS)
def review(request: HttpRequest, review_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Review, review_id)
    context = {
        "review": row,
        "percent": 100 * row.hard / max(row.done, 1),
        "most": bouncerates.MOST_PERCENT,
    }
    return render(request, "relay/review.html", context)
