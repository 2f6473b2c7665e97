# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages of the queue that are about no single right: entering, deciding many, all clocks."""

from __future__ import annotations

from functools import reduce

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext

from accounts import clock
from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin
from gdpr import clocks, deciding, intake
from gdpr.forms import DecisionForm, EntryForm
from gdpr.models import Request, RequestedRight

CHANGE = "admin:gdpr_requestedright_change"
# Each is decided, and told, by itself: a letter that is sealed takes seconds.
MOST_AT_ONCE = 10


def enter(page: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Take down a request that came by mail, phone or post."""
    if not page.has_act_permission(request):
        raise PermissionDenied
    form = EntryForm(request.POST or None)
    if form.is_valid() and (made := _entered(request, form)):
        first = made.rights.order_by("right").first()
        assert first is not None
        messages.success(request, gettext("Entered. Next: find out whether it is theirs."))
        return redirect(CHANGE, first.pk)
    context = page.admin_site.each_context(request) | {
        "title": gettext("Enter a request"),
        "opts": page.opts,
        "form": form,
    }
    return render(request, "admin/gdpr/enter.html", context)


def _entered(request: HttpRequest, form: EntryForm) -> Request | None:
    try:
        return intake.enter(form.letter(), current_person(request), clock.now())
    except intake.NotYetReceived as refused:
        form.add_error("received_at", str(refused))
    return None


def all_clocks(page: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show how many clocks run, stand still and are late, by right and channel."""
    if not page.has_view_permission(request):
        raise PermissionDenied
    context = page.admin_site.each_context(request) | {
        "title": gettext("All clocks"),
        "opts": page.opts,
        "board": clocks.board(clock.now()),
    }
    return render(request, "admin/gdpr/clocks.html", context)


def decide_many(
    page: ReadOnlyAdmin, request: HttpRequest, rows: QuerySet[RequestedRight]
) -> HttpResponse | None:
    """Take one decision about all chosen rights, as if each was decided by itself."""
    chosen = list(rows.select_related("request").order_by("promised_on")[: MOST_AT_ONCE + 1])
    if len(chosen) > MOST_AT_ONCE:
        words = gettext("Choose %(most)d at most.") % {"most": MOST_AT_ONCE}
        messages.error(request, words)
        return None
    now = clock.now()
    every = [deciding.moves(row, now) for row in chosen]
    common: dict[str, str | Promise] = reduce(_both, every) if every else {}
    if not common:
        messages.error(
            request, gettext("There is nothing that could be decided about all of them.")
        )
        return None
    form = DecisionForm(request.POST if "what" in request.POST else None, moves=common)
    if form.is_valid():
        _decide_each(request, chosen, form)
        return None
    context = page.admin_site.each_context(request) | {
        "title": gettext("Decide about several"),
        "opts": page.opts,
        "form": form,
        "rows": chosen,
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return render(request, "admin/gdpr/decide_many.html", context)


def _both(
    one: dict[str, str | Promise], other: dict[str, str | Promise]
) -> dict[str, str | Promise]:
    # The same state can be called for by a letter here and by hand there: that is not the same.
    return {what: words for what, words in one.items() if other.get(what) == words}


def _decide_each(request: HttpRequest, chosen: list[RequestedRight], form: DecisionForm) -> None:
    what, reason, proof = form.cleaned_data["what"], form.cleaned_data["reason"], form.proof()
    by, done = current_person(request), 0
    for row in chosen:
        try:
            deciding.decide(row, what, by, clock.now(), reason=reason, proof=proof)
        except Refused as refused:
            messages.error(request, f"{row.request.reference}: {refused}")
        else:
            done += 1
    if done:
        words = ngettext("%(count)d is decided.", "%(count)d are decided.", done)
        messages.success(request, words % {"count": done})
