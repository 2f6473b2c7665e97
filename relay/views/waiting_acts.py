# SPDX-License-Identifier: AGPL-3.0-or-later
"""What people do with waiting mail: try it now, hold it back, release it, cancel it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy
from django.views.decorators.http import require_POST

from accounts import clock
from accounts.access import current_membership, current_organisation, member_required
from accounts.models.organisations import BUILDERS
from accounts.views.answers import form_page, refusals_to
from relay import cancelling, holding, retrying, tasks
from relay.forms.waiting import WaitingForm
from relay.scopes import Done, Scope
from relay.views import onward
from relay.views.acting import address, domains

# Beyond that a count is told as “more than”.
COUNTED_MOST = 10_000


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def retry(request: HttpRequest, message_id: UUID | None = None) -> HttpResponse:
    scope = _scope(request, message_id)
    done = retrying.retry(scope, by=current_membership(request))
    if not done.count and done.is_all:
        messages.success(request, _("Everything that waits is in hand or due already."))
    else:
        words = ngettext_lazy(
            "%(count)d delivery is tried now.", "%(count)d deliveries are tried now.", "count"
        )
        _tell(request, words, done, tasks.retry, scope)
    return _back(scope)


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def hold(request: HttpRequest, message_id: UUID | None = None) -> HttpResponse:
    scope = _scope(request, message_id)
    holding.hold(scope, by=current_membership(request))
    if scope.recipient_domain:
        onward.settle_holds()
    messages.success(
        request,
        _("Held back until you release it. Mail whose time runs out meanwhile goes back."),
    )
    return _back(scope)


@require_POST
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def release(request: HttpRequest, message_id: UUID | None = None) -> HttpResponse:
    scope = _scope(request, message_id)
    if not holding.release(scope, by=current_membership(request)):
        messages.error(request, _("Nobody holds just that back: it was released already."))
        return _back(scope)
    if scope.recipient_domain:
        onward.settle_holds()
    messages.success(request, _("Released. It goes as soon as it is its turn."))
    return _back(scope)


@form_page
@member_required(*BUILDERS)
@refusals_to("relay:waiting")
def cancel(request: HttpRequest, message_id: UUID | None = None) -> HttpResponse:
    """Say first what goes."""
    scope = _scope(request, message_id)
    if request.method != "POST":
        return render(request, "relay/waiting_cancel.html", _what_goes(scope))
    done = cancelling.cancel(scope, by=current_membership(request))
    words = ngettext_lazy(
        "%(count)d delivery is cancelled.", "%(count)d deliveries are cancelled.", "count"
    )
    _tell(request, words, done, tasks.cancel, scope)
    return _back(scope)


def _scope(request: HttpRequest, message_id: UUID | None) -> Scope:
    """Read what the act is about; 404 for what makes no sense, or where nothing waits."""
    organisation_id = current_organisation(request).id
    if message_id is not None:
        scope = Scope(organisation_id, message_id)
        if not scope.rows().exists():
            raise Http404
        return scope
    form = WaitingForm(request.GET)
    given = [name for name in ("to", "domain") if name in request.GET]
    # A domain that is none must not come to mean all of it.
    if not form.is_valid() or len(given) > 1 or not all(form.cleaned_data[n] for n in given):
        raise Http404
    wanted = form.wanted()
    return Scope(organisation_id, None, wanted.domain or None, wanted.to or None)


def _what_goes(scope: Scope) -> dict[str, Any]:
    waiting = scope.rows().filter(cancelled_at=None)
    count = waiting.order_by()[: COUNTED_MOST + 1].count()
    now = clock.now()
    return {
        "scope": scope,
        "count": min(count, COUNTED_MOST),
        "is_more": count > COUNTED_MOST,
        "in_hand": waiting.filter(lease_expires_at__gte=now)[: COUNTED_MOST + 1].count(),
        "hold": address("hold", scope),
        "back": _there(scope),
    }


def _there(scope: Scope) -> str:
    """Return the page that the act was asked for on."""
    if scope.message_id:
        return reverse("relay:message", args=[scope.message_id])
    query = urlencode(domains(scope))
    return reverse("relay:waiting") + (f"?{query}" if query else "")


def _back(scope: Scope) -> HttpResponse:
    return redirect(_there(scope))


def _tell(request: HttpRequest, words: str | Promise, done: Done, rest: Any, scope: Scope) -> None:
    """Say how much was done; more than one request writes is gone on with by a task."""
    told = [str(words % {"count": done.count})]
    if not done.is_all:
        started = onward.go_on(rest, scope)
        told.append(
            _("The others follow by themselves within minutes.")
            if started
            else _("The others could not be started just now: do the same again in a minute.")
        )
        (messages.success if started else messages.warning)(request, " ".join(told))
        return
    messages.success(request, told[0])
