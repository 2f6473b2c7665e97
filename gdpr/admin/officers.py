# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose the pages of requests are: the privacy officers' and their deputy's."""

from __future__ import annotations

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import approvals, deciding
from gdpr.models import Approval


class OfficersAdmin(ReadOnlyAdmin):
    """Open to whom the permissions name, and to the deputy whom the settings name."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) or _is_deputy(request)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return super().has_view_permission(request, obj) or _is_deputy(request)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return super().has_act_permission(request) or _is_deputy(request)


def _is_deputy(request: HttpRequest) -> bool:
    return request.user.is_authenticated and approvals.is_deputy(current_person(request))


@admin.register(Approval, site=site)
class ApprovalAdmin(OfficersAdmin):
    """What waits for a second person stands on top."""

    list_display = ("what", "about", "asked_at", "asked_by", "decided_at", "decided_by", "decision")
    list_filter = ("what", "decision")
    list_select_related = ("asked_by", "decided_by")
    ordering = ("-decided_at", "asked_at")
    fields = list_display
    readonly_fields = ("about",)
    actions = ("approve", "decline")

    @admin.display(description=_("about"))
    def about(self, row: Approval) -> str:
        url = reverse("admin:gdpr_requestedright_change", args=[row.subject_id])
        return format_html('<a href="{}">{}</a>', url, str(row.subject_id)[:8])

    @admin.action(description=_("Approve"), permissions=["act"])
    def approve(self, request: HttpRequest, rows: models.QuerySet[Approval]) -> None:
        self._decide(request, rows, deciding.approve)

    @admin.action(description=_("Do not approve"), permissions=["act"])
    def decline(self, request: HttpRequest, rows: models.QuerySet[Approval]) -> None:
        self._decide(request, rows, deciding.decline)

    def _decide(
        self, request: HttpRequest, rows: models.QuerySet[Approval], decide: deciding.Second
    ) -> None:
        if row := self.one(request, rows):
            try:
                decide(row, current_person(request), clock.now())
                self.message_user(request, gettext("Decided."))
            except Refused as refused:
                self.message_user(request, str(refused), level="ERROR")
