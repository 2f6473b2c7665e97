# SPDX-License-Identifier: AGPL-3.0-or-later
"""The admin for staff: looked at freely, changed only by acts that the audit trail records.

Every page runs as the database role `staff` (accounts/middleware.py), after a second factor.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.db import models
from django.http import Http404, HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import alerts

Row = TypeVar("Row", bound=models.Model)
ALERTS_SHOWN = 5


class StaffSite(admin.AdminSite):
    site_header = _("Brevdue staff")
    site_title = _("Brevdue staff")
    index_title = _("Overview")

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_active and user.is_staff and user.is_verified())

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """For a customer there is nothing here; who is not signed in is led to our own sign-in."""
        inner = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.user.is_authenticated and not self.has_permission(request):
                raise Http404
            return inner(request, *args, **kwargs)

        return update_wrapper(guarded, inner)

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if request.user.is_authenticated and not self.has_permission(request):
            raise Http404
        return redirect_to_login(request.GET.get("next", reverse("admin:index")))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("accounts:sign-out")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("accounts:password-change")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add the open alerts: they stand on top of every page until somebody resolves them."""
        banner = {"open_alerts": alerts.open_alerts()[:ALERTS_SHOWN]}
        return super().each_context(request) | banner


site = StaffSite(name="admin")


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # generic in the stubs only
    """Rows to look at. What can be done to them are named actions, each with its audit event."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Return whether this member of staff may use the actions of this kind of row."""
        return super().has_change_permission(request)

    def one(self, request: HttpRequest, rows: models.QuerySet[Row]) -> Row | None:
        """Return the row that was chosen; the audit trail takes one organisation at a time."""
        chosen = list(rows[:2])
        if len(chosen) == 1:
            return chosen[0]
        messages.error(request, gettext("Nothing was changed. Choose one row at a time."))
        return None
