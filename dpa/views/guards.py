# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who opens the pages of agreements: roles, and members whom an owner has named."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from accounts.access import View, current_membership, member_context, member_required
from accounts.models import Membership
from dpa import signatories


def _guard(may: Callable[[Membership], bool]) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @member_required()
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            # In a context of its own: a view may run outside the middleware's.
            with member_context(request):
                allowed = may(current_membership(request))
            if not allowed:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


readers = _guard(signatories.may_read)
signers = _guard(signatories.may_sign)
