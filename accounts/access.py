# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may open a page: every portal view is guarded here, every row is looked up here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.middleware import HtmxDetails

from accounts.models import Membership, Organisation, Role, TOTPDevice, User
from accounts.tenancy import TenantModel, organisation_context, person_context

Row = TypeVar("Row", bound=TenantModel)


class PortalRequest(HttpRequest):
    """A request as TenancyMiddleware leaves it; `membership` is None outside an organisation."""

    membership: Membership | None
    htmx: HtmxDetails


View = Callable[..., HttpResponse]

# What may be asked of a signed-in person first, as names of the pages that ask.
PASSWORD_STEP = "accounts:password-change"  # noqa: S105 - the name of a page
SECOND_FACTOR_STEP = "accounts:second-factor"
ENROL_STEP = "accounts:second-factor-enrol"
# The page of another app, which this one may name but not import.
RESTRICTED_STEP = "gdpr:erasure"
ALL_STEPS = frozenset({PASSWORD_STEP, SECOND_FACTOR_STEP, ENROL_STEP, RESTRICTED_STEP})


def before_second_factor(view: View) -> View:
    """Let a person in who has given a password but not yet all that is asked of them."""
    view.open_before = ALL_STEPS  # type: ignore[attr-defined] # a mark
    return view


def before_own_password(view: View) -> View:
    """Let a person in who must choose a password first, but nobody who owes a second factor."""
    view.open_before = frozenset({PASSWORD_STEP})  # type: ignore[attr-defined] # a mark
    return view


def while_restricted(view: View) -> View:
    """Let a person in whose account is restricted: their rights work all the same."""
    view.open_before = frozenset({RESTRICTED_STEP})  # type: ignore[attr-defined] # a mark on a function
    return view


def outside_context(view: View) -> View:
    """Keep no transaction open while the view runs, because it waits for somebody else: a server,
    or a browser that is slow to send.

    The view opens `member_context`, or `own_context`, to read, and again to write and to render.
    """
    view.outside_context = True  # type: ignore[attr-defined] # a mark
    return view


def member_required(*roles: Role) -> Callable[[View], View]:
    """Open a view to approved members with one of `roles`; to every member when none is named."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if request.membership is None:
                return redirect("accounts:organisations")
            if roles and request.membership.role not in roles:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.roles = roles  # type: ignore[attr-defined] # a mark
        return guarded

    return decorate


def person_required(view: View) -> View:
    """Open a view to every signed-in person, member of an organisation or not."""

    @wraps(view)
    def guarded(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return guarded


def current_person(request: HttpRequest) -> User:
    """Return who is signed in, in a view guarded by one of the above."""
    assert isinstance(request.user, User)
    return request.user


def current_membership(request: HttpRequest) -> Membership:
    """Return the person's place in the organisation of a view guarded by `member_required`."""
    membership = cast(PortalRequest, request).membership
    assert membership is not None
    return membership


def current_organisation(request: HttpRequest) -> Organisation:
    """Return the organisation of a view guarded by `member_required`."""
    return current_membership(request).organisation


def member_context(request: HttpRequest) -> AbstractContextManager[None]:
    """Return the context that a view marked `outside_context` does its database work in."""
    by = current_membership(request)
    return organisation_context(by.organisation_id, person_id=by.user_id)


def own_context(request: HttpRequest) -> AbstractContextManager[None]:
    """Do as `member_context`, also for a person who is a member of nothing."""
    if cast(PortalRequest, request).membership is None:
        return person_context(current_person(request).pk)
    return member_context(request)


def get_for_organisation(request: HttpRequest, model: type[Row], identifier: UUID) -> Row:
    """Return the row of the current organisation; another's answers as one that does not exist."""
    rows = model.objects.for_organisation(current_organisation(request).id)
    row = rows.filter(pk=identifier).first()
    if row is None:
        raise Http404
    return row


def is_fragment(request: HttpRequest) -> bool:
    """Say whether the page asks for a part of itself."""
    return bool(cast(PortalRequest, request).htmx)


def is_verified(user: User) -> bool:
    """Say whether this session has seen the person's second factor."""
    return bool(user.is_verified())  # type: ignore[attr-defined] # added by OTPMiddleware


def unmet_step(user: User, membership: Membership | None) -> str | None:
    """Return the URL name of what a signed-in person must do first, or is confined to."""
    if user.must_change_password:
        return PASSWORD_STEP
    step = _second_factor_step(user, membership)
    return step or (RESTRICTED_STEP if user.restricted_at else None)


def _second_factor_step(user: User, membership: Membership | None) -> str | None:
    if is_verified(user):
        return None
    if TOTPDevice.objects.filter(user=user, confirmed=True).exists():
        return SECOND_FACTOR_STEP
    required = membership is not None and membership.organisation.second_factor_required
    return ENROL_STEP if required or user.is_staff else None
