# SPDX-License-Identifier: AGPL-3.0-or-later
"""The page of mail that waits: why, what happens when, and what keeps it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import current_organisation, member_required
from accounts.models.organisations import READERS
from relay import holding, reviews, waitlist
from relay.forms.waiting import WaitingForm
from relay.log import Place
from relay.models import Hold, QueuedDelivery, Quota, Route
from relay.reasons import WORDS
from relay.scopes import Scope
from relay.views.acting import acts_on, address
from relay.views.log import sees_masked
from relay.waitlist import Counts, Wanted

HOLDS_SHOWN = 30
ROUTES_SHOWN = 10
SET_ASIDE_SHOWN = 5


@require_safe
@member_required(*READERS)
def waiting(request: HttpRequest) -> HttpResponse:
    organisation_id, now = current_organisation(request).id, clock.now()
    form = WaitingForm(request.GET or None)
    wanted = form.wanted() if form.is_valid() else Wanted()
    after = Place.parse(request.GET.get("after", ""), int)
    # A question that was not understood must not come to mean all of it.
    refused = bool(form.errors)
    rows, onward = ([], None) if refused else waitlist.listed(organisation_id, wanted, now, after)
    counts = waitlist.counts(organisation_id, now)
    context = {
        "rows": rows,
        "form": form,
        "wanted": wanted,
        "refused": refused,
        "counts": counts,
        "tallies": [(WORDS[one.value], _shown(why=one.value), one) for one in counts.reasons],
        "destinations": [(_shown(to=one.value), one) for one in counts.destinations if one.value],
        "now": now,
        "masked": sees_masked(request),
        "first": _shown(**_parts(wanted)) if after else "",
        "next": _shown(**_parts(wanted), after=str(onward)) if onward else "",
        **_kept_back(organisation_id, counts, now),
        **acts_on(_scope(organisation_id, wanted), now),
    }
    return render(request, "relay/waiting.html", context)


def _parts(wanted: Wanted) -> dict[str, str]:
    return {"why": wanted.why, "to": wanted.to, "domain": wanted.domain}


def _shown(**parts: str) -> str:
    """Return the address of the page with these parts of its query."""
    query = urlencode({name: value for name, value in parts.items() if value})
    return reverse("relay:waiting") + (f"?{query}" if query else "")


def _scope(organisation_id: UUID, wanted: Wanted) -> Scope:
    """Return what the acts are about: one domain's mail, or all; none are about two domains."""
    if wanted.to and wanted.domain:
        return Scope(organisation_id)
    return Scope(organisation_id, None, wanted.domain or None, wanted.to or None)


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that is held: `domain` with where it belongs, or a message."""

    hold: Hold
    release: str
    domain: str = ""
    is_recipient: bool = False
    message_id: UUID | None = None


def _kept_back(organisation_id: UUID, counts: Counts, now: datetime) -> dict[str, Any]:
    """Return what keeps mail back, apart from the rows themselves."""
    holds = list(holding.held(Scope(organisation_id), now)[: HOLDS_SHOWN + 1])
    by_people = [hold for hold in holds if hold.reason == Hold.Reason.HELD]
    over = next((hold for hold in holds if hold.reason == Hold.Reason.OVER_QUOTA), None)
    routes = Route.objects.for_organisation(organisation_id)
    resting = routes.filter(Q(rest_until__gt=now) | ~Q(paused_at=None)).order_by("name", "id")
    return {
        "all_held": next(
            (hold for hold in by_people if not (hold.domain or hold.message_id)), None
        ),
        "release_all": reverse("relay:release-all"),
        "held": [_held(hold) for hold in by_people if _is_listed(hold)],
        "more_held": len(holds) > HOLDS_SHOWN,
        "over_quota": over,
        "quota": over and Quota.objects.for_organisation(organisation_id).first(),
        "routes": list(resting[:ROUTES_SHOWN]),
        "reviews": reviews.open_ones(organisation_id)[:ROUTES_SHOWN],
        "set_aside": _set_aside(organisation_id, counts, now),
    }


def _is_listed(hold: Hold) -> bool:
    # The U-label of a recipient's domain stands beside its A-label.
    return hold.message_id is not None or bool(hold.domain and hold.domain.isascii())


def _held(hold: Hold) -> Held:
    scope = holding.scope_of(hold)
    name = scope.recipient_domain or scope.domain or ""
    release = address("release", scope)
    return Held(hold, release, name, scope.recipient_domain is not None, scope.message_id)


def _set_aside(organisation_id: UUID, counts: Counts, now: datetime) -> dict[str, Any] | None:
    why = QueuedDelivery.Reason.QUARANTINED.value
    count = counts.of(why)
    if not count:
        return None
    rows, _ = waitlist.listed(organisation_id, Wanted(why=why), now, size=SET_ASIDE_SHOWN)
    return {"count": count, "rows": rows, "url": _shown(why=why)}
