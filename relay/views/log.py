# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log: newest messages, search, and the timeline of one message."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts import clock
from accounts.access import current_membership, current_organisation, member_required
from accounts.models import Role
from accounts.models.organisations import READERS
from accounts.views.answers import form_page
from relay import log
from relay.forms.log import SearchForm, written
from relay.models import Credential, Delivery, Message
from relay.scopes import Scope
from relay.search import Search, find, opened
from relay.views.acting import acts_on

LIST = "relay/log.html"


def sees_masked(request: HttpRequest) -> bool:
    """Return whether the person's role sees addresses masked."""
    return current_membership(request).role == Role.VIEWER


@form_page
@member_required(*READERS)
def messages(request: HttpRequest) -> HttpResponse:
    """A search is posted, so that no address stands in an address line; then it is read sealed."""
    masked = sees_masked(request)
    if request.method != "POST":
        return _page(request, _asked(request))
    form = SearchForm(request.POST, masked=masked)
    if not form.is_valid():
        return render(request, LIST, {"form": form, "masked": masked})
    return redirect(_address(request, form.search()))


def _asked(request: HttpRequest) -> Search:
    sealed = request.GET.get("search", "")
    return opened(sealed, current_organisation(request).id) or Search()


def _page(request: HttpRequest, search: Search) -> HttpResponse:
    masked = sees_masked(request)
    before = log.Place.parse(request.GET.get("before", ""), UUID)
    page = find(current_organisation(request).id, search, before)
    context = {
        "form": SearchForm(initial=written(search), masked=masked),
        "masked": masked,
        "search": search,
        "lines": [(line, _states(line)) for line in page.lines],
        "newest": _address(request, search) if before else "",
        "older": _address(request, search, page.next) if page.next else "",
    }
    return render(request, LIST, context)


def _states(line: log.Line) -> list[tuple[str, str, int]]:
    """Return value, words and count of each state, in the order of the model."""
    return [
        (state.value, str(state.label), line.states[state.value])
        for state in Delivery.State
        if line.states[state.value]
    ]


def _address(request: HttpRequest, search: Search, before: log.Place | None = None) -> str:
    asked = {"search": search.sealed(current_organisation(request).id)} if search else {}
    if before:
        asked["before"] = str(before)
    return reverse("relay:log") + (f"?{urlencode(asked)}" if asked else "")


@require_safe
@member_required(*READERS)
def message(request: HttpRequest, message_id: UUID) -> HttpResponse:
    organisation, now = current_organisation(request), clock.now()
    try:
        timeline = log.timeline(organisation.id, message_id, now)
    except (ValueError, OverflowError):  # an id whose time is beyond any calendar
        timeline = None
    if timeline is None:
        raise Http404
    context = {
        "timeline": timeline,
        "message": timeline.message,
        "credential": _credential(timeline.message),
        "masked": sees_masked(request),
        "now": now,
        **_acts(timeline, now),
    }
    return render(request, "relay/message.html", context)


def _acts(timeline: log.Timeline, now: datetime) -> dict[str, Any]:
    """Return what can be done with a message that waits."""
    waiting = [track.waiting for track in timeline.tracks if track.waiting]
    if all(one.is_cancelled for one in waiting):
        return {"waits": False}
    scope = Scope(timeline.message.organisation_id, timeline.message.id)
    acts = acts_on(scope, now)
    return {
        "waits": True,
        "only_ends": all(one.is_cancelled or one.is_set_aside for one in waiting),
        "held_with_others": any(one.is_held for one in waiting) and not acts["is_held"],
        "waiting_url": reverse("relay:waiting"),
        **acts,
    }


def _credential(row: Message) -> Credential | None:
    """Return what the message was handed in with; nothing for a notification of ours."""
    if row.credential_id is None:
        return None
    credentials = Credential.objects.for_organisation(row.organisation_id)
    return credentials.filter(pk=row.credential_id).first()
