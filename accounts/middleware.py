# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs each view inside the database context of the person who is signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from accounts.access import PortalRequest, unmet_step
from accounts.models import Membership
from accounts.models.users import DISPLAY_ZONE
from accounts.tenancy import organisation_context, person_context, staff_context

# In the session: the organisation that was chosen, and the path a person was going to.
ORGANISATION_KEY = "organisation"
ONWARD_KEY = "onward"


class TenancyMiddleware:
    """Sets `request.membership` and calls the view in the contexts that its rows need.

    The call happens in `process_view`, so that an exception of the view rolls the transaction back
    before Django turns it into a response.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        cast(PortalRequest, request).membership = None
        with timezone.override(ZoneInfo(DISPLAY_ZONE)):
            return self.get_response(request)

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponse],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> HttpResponse | None:
        person = request.session.get(SESSION_KEY)
        if person is None:
            return None
        with ExitStack() as zone, ExitStack() as contexts:
            contexts.enter_context(person_context(UUID(person)))
            user: Any = request.user
            if not user.is_authenticated:
                return None
            zone.enter_context(timezone.override(ZoneInfo(user.time_zone)))
            step = self._enter(request, contexts)
            if step and step not in getattr(view, "open_before", ()):
                return _detour(request, step)
            if getattr(view, "outside_context", False):
                contexts.close()
            return _rendered(view(request, *args, **kwargs))

    def _enter(self, request: HttpRequest, contexts: ExitStack) -> str | None:
        """Enter the organisation's or staff's context; return the step still to be taken first."""
        user: Any = request.user
        # A restricted account is used for nothing but the person's own rights.
        membership = None if user.restricted_at else _chosen_membership(request, user.id)
        step = unmet_step(user, membership)
        context: AbstractContextManager[None] | None = None
        if membership is not None:
            cast(PortalRequest, request).membership = membership
            context = organisation_context(membership.organisation_id, person_id=user.id)
        if _is_staff_page(request) and user.is_staff and step is None:
            context = staff_context()
        if context is not None:
            contexts.enter_context(context)
        return step


@contextmanager
def own_frame(request: HttpRequest) -> Iterator[None]:
    """Show the frame of the person who is signed in around a page that no view answers with.

    Who still owes a step has no organisation around it yet.
    """
    person = request.session.get(SESSION_KEY)
    with ExitStack() as contexts:
        if person is not None:
            contexts.enter_context(person_context(UUID(person)))
            user: Any = request.user
            membership = _chosen_membership(request, user.id) if user.is_authenticated else None
            if membership is not None and unmet_step(user, membership) is None:
                cast(PortalRequest, request).membership = membership
        yield


def _chosen_membership(request: HttpRequest, person_id: UUID) -> Membership | None:
    """Return the approved membership chosen in this session, or the oldest."""
    approved = Membership.objects.filter(user_id=person_id, approved_at__isnull=False)
    rows = list(approved.select_related("organisation").order_by("created_at"))
    chosen = request.session.get(ORGANISATION_KEY)
    return next((row for row in rows if str(row.organisation_id) == chosen), next(iter(rows), None))


def _detour(request: HttpRequest, step: str) -> HttpResponse:
    """Send the person to the step that comes first, and remember where they were going."""
    if request.method == "GET":
        request.session[ONWARD_KEY] = request.get_full_path()
    return redirect(step)


def _is_staff_page(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.namespaces == ["admin"]


def _rendered(response: HttpResponse) -> HttpResponse:
    # A template response left unrendered would read its rows after the context has closed.
    render = getattr(response, "render", None)
    return render() if callable(render) else response
