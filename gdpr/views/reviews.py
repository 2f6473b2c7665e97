# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asking for a person where figures have stopped a domain's mail (GDPR article 22(3))."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import clock
from accounts.access import (
    current_organisation,
    current_person,
    get_for_organisation,
    member_required,
)
from accounts.models.organisations import BUILDERS
from accounts.views.answers import refusals_to
from gdpr import selfservice
from gdpr.models import Right
from relay import reviews
from relay.models import Review


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def review_ask(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """Open a request with a clock, in which a person decides instead of the figures."""
    # Of two clicks the second one sees what the first has done.
    reviews.hold(current_organisation(request).id)
    row = get_for_organisation(request, Review, review_id)
    if row.asked_at is not None or row.decided_at is not None:
        raise reviews.Decided
    words = _("Mail from %(domain)s was stopped.") % {"domain": row.domain}
    selfservice.ask(current_person(request), {Right.REVIEW: words}, clock.now())
    messages.success(request, _("Asked for. A person looks at it and decides."))
    return redirect("relay:review", row.id)
