# SPDX-License-Identifier: AGPL-3.0-or-later
"""A domain's mail that was stopped by figures: what they were, and how a person is asked for."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import current_membership, get_for_organisation, member_required
from accounts.models.organisations import BUILDERS, READERS
from accounts.views.answers import refusals_to
from relay import bouncerates
from relay import reviews as acts
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


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def review_ask(request: HttpRequest, review_id: UUID) -> HttpResponse:
    row = get_for_organisation(request, Review, review_id)
    acts.ask(row, by=current_membership(request))
    messages.success(request, _("Asked for. A person looks at it and decides."))
    return redirect("relay:review", row.id)
