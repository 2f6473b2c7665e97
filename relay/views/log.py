# SPDX-License-Identifier: AGPL-3.0-or-later
"""The log: newest messages, search, the timeline of one message, and a search as a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.contrib.messages import error
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import audit, clock
from accounts.access import (
    current_membership,
    current_organisation,
    current_person,
    member_required,
)
from accounts.models import Role
from accounts.models.organisations import KEEPERS, READERS
from accounts.refusals import Refused
from accounts.views.answers import form_page
from relay import credentials, log, logchoices, restricting
from relay.downloads import Asked, Download
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
    if request.method != "POST":
        return _page(request, _asked(request.GET.get("search", ""), request))
    form = _form(request, request.POST)
    if not form.is_valid():
        return render(request, LIST, {"form": form, **_frame(request)})
    number = form.message_number
    if number is None:
        return redirect(_address(request, form.search()))
    if log.message_of(current_organisation(request).id, number) is None:
        form.add_error("number", _("The log has no message of this number."))
        return render(request, LIST, {"form": form, **_frame(request)})
    return redirect("relay:message", number)


def _form(request: HttpRequest, data: Any = None, **values: Any) -> SearchForm:
    rows = Credential.objects.for_organisation(current_organisation(request).id)
    names = [(str(row.id), row.name) for row in credentials.listed(rows)]
    return SearchForm(data, masked=sees_masked(request), credentials=names, **values)


def _frame(request: HttpRequest) -> dict[str, Any]:
    """Return what the page of the log has around the list."""
    membership = current_membership(request)
    return {
        "masked": sees_masked(request),
        "choice": logchoices.choice_of(membership.organisation_id),
        "chooses": membership.role in KEEPERS,
        "left_out": restricting.count_left_out(membership.organisation_id),
    }


def _asked(sealed: str, request: HttpRequest) -> Search:
    return opened(sealed, current_organisation(request).id) or Search()


def _page(request: HttpRequest, asked: Search) -> HttpResponse:
    before = log.Place.parse(request.GET.get("before", ""), UUID)
    page = find(current_organisation(request).id, asked, before)
    context = {
        "form": _form(request, initial=written(asked)),
        "search": asked,
        "sealed": _sealed(request, asked),
        "lines": [(line, _states(line)) for line in page.lines],
        "newest": _address(request, asked) if before else "",
        "older": _address(request, asked, page.next) if page.next else "",
        **_frame(request),
    }
    return render(request, LIST, context)


def _states(line: log.Line) -> list[tuple[str, str, int]]:
    """Return value, words and count of each state, in the order of the model."""
    states = line.states
    return [
        (state.value, str(state.label), states[state.value])
        for state in Delivery.State
        if states[state.value]
    ]


def _sealed(request: HttpRequest, asked: Search) -> str:
    return asked.sealed(current_organisation(request).id) if asked else ""


def _address(request: HttpRequest, asked: Search, before: log.Place | None = None) -> str:
    query = {"search": _sealed(request, asked)} if asked else {}
    if before:
        query["before"] = str(before)
    return reverse("relay:log") + (f"?{urlencode(query)}" if query else "")


@require_POST
@member_required(*READERS)
def log_download(request: HttpRequest) -> HttpResponse:
    """Give what was searched for as a file, which is written while it is sent."""
    organisation, search = current_organisation(request), _asked_of_file(request)
    asked = Asked(organisation_id=organisation.id, search=search, masked=sees_masked(request))
    try:
        download = Download(asked)
    except Refused as refused:
        error(request, str(refused))
        return redirect(_address(request, search))
    audit.record(current_person(request), "organisation.log-exported", organisation)
    response = StreamingHttpResponse(download, content_type="text/csv; charset=utf-8")
    name = f"log-{clock.now():%Y-%m-%d}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    # The guards' types know whole answers alone.
    return cast(HttpResponse, response)


def _asked_of_file(request: HttpRequest) -> Search:
    """Return what is searched for: all of the log only where nothing was asked."""
    sealed = request.POST.get("search", "")
    asked = opened(sealed, current_organisation(request).id) if sealed else Search()
    if asked is None:
        raise Http404
    return asked


@require_safe
@member_required(*READERS)
def message(request: HttpRequest, message_id: UUID) -> HttpResponse:
    organisation, now = current_organisation(request), clock.now()
    timeline = log.timeline(organisation.id, message_id, now)
    if timeline is None:
        raise Http404
    masked = sees_masked(request)
    context = {
        "timeline": timeline,
        "message": timeline.message,
        "credential": _credential(timeline.message),
        "left_out": timeline.message.recipients - len(timeline.tracks),
        "masked": masked,
        # It may say of anybody what the masks hide.
        "header": "" if masked else log.header_of(timeline.message),
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
    rows = Credential.objects.for_organisation(row.organisation_id)
    return rows.filter(pk=row.credential_id).first()
