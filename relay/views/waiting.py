# SPDX-License-Identifier: AGPL-3.0-or-later
"""Mail that waits: why, when it is tried next, when it is given up; and trying it now."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import clock
from accounts.access import current_membership, current_organisation, member_required
from accounts.models.organisations import BUILDERS, READERS
from accounts.views.answers import refusals_to
from relay import log, retrying
from relay.models import QueuedDelivery
from relay.views.log import sees_masked


@require_safe
@member_required(*READERS)
def waiting(request: HttpRequest) -> HttpResponse:
    organisation = current_organisation(request)
    after = log.Place.parse(request.GET.get("after", ""), int)
    rows, onward = log.waiting(organisation.id, after)
    here = reverse("relay:waiting")
    context = {
        "rows": rows,
        "reasons": reasons(organisation.id),
        "now": clock.now(),
        "masked": sees_masked(request),
        "first": here if after else "",
        "next": f"{here}?{urlencode({'after': str(onward)})}" if onward else "",
    }
    return render(request, "relay/waiting.html", context)


def reasons(organisation_id: UUID) -> list[tuple[str, int]]:
    """Return the reasons in words with their counts, the most frequent first."""
    counts = log.waiting_by_reason(organisation_id)
    words = dict(QueuedDelivery.Reason.choices)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(str(words[reason]), count) for reason, count in ordered]


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def retry_all(request: HttpRequest) -> HttpResponse:
    _tell(request, retrying.retry(by=current_membership(request)))
    return redirect("relay:waiting")


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def retry(request: HttpRequest, message_id: UUID) -> HttpResponse:
    by = current_membership(request)
    if not retrying.waits(by.organisation_id, message_id):
        raise Http404
    _tell(request, retrying.retry(message_id, by=by))
    return redirect("relay:message", message_id)


def _tell(request: HttpRequest, count: int) -> None:
    if not count:
        messages.success(request, _("Everything that waits is in hand or due already."))
        return
    told = ngettext(
        "%(count)d delivery is tried now.", "%(count)d deliveries are tried now.", count
    )
    messages.success(request, told % {"count": count})
