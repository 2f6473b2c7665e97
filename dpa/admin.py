# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of agreements, and what they may do: let the seal be set, or refuse it."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, clock
from accounts.access import current_person
from accounts.staffsite import ReadOnlyAdmin, site
from dpa import sealing
from dpa.models import Agreement


@admin.register(Agreement, site=site)
class AgreementAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "number", "state", "offered_at", "signed_at", "in_force_at")
    list_filter = ("state", "text_version")
    list_select_related = ("organisation",)
    search_fields = ("organisation__name", "=id")
    ordering = ("-offered_at",)
    fields = (
        "id",
        "organisation",
        "number",
        "state",
        "text_language",
        "text_version",
        "signatory_name",
        "signatory_title",
        "offered_at",
        "signed_at",
        "released_at",
        "refused_at",
        "in_force_at",
        "closed_at",
    )
    actions = ("countersign", "refuse")

    @admin.action(description=_("Let our seal be set"), permissions=["act"])
    def countersign(self, request: HttpRequest, rows: QuerySet[Agreement]) -> None:
        row = self.one(request, rows)
        if row is None:
            return
        if not sealing.awaits_release(row):
            messages.error(request, gettext("This agreement does not wait for anybody here."))
            return
        sealing.release(row, clock.now())
        audit.record(current_person(request), "agreement.released", row, ["released_at"])
        messages.success(request, gettext("The worker sets the seal next; the state shows it."))

    @admin.action(description=_("Refuse to set our seal"), permissions=["act"])
    def refuse(self, request: HttpRequest, rows: QuerySet[Agreement]) -> None:
        row = self.one(request, rows)
        if row is None:
            return
        if not sealing.may_refuse(row):
            messages.error(request, gettext("This agreement does not wait for our seal."))
            return
        sealing.refuse(row, clock.now())
        audit.record(current_person(request), "agreement.seal-refused", row, ["refused_at"])
        messages.success(request, gettext("The worker closes the version and tells the customer."))
