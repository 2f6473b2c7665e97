# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import current_person
from accounts.masking import masked
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from relay import reviews
from relay.models import Review, Suppression


@admin.register(Suppression, site=site)
class SuppressionAdmin(ReadOnlyAdmin):
    """No search by address: it would stand in the address line."""

    list_display = (
        "masked_address",
        "organisation",
        "reason",
        "domain",
        "created_at",
        "expires_at",
        "hits",
    )
    list_filter = ("reason",)
    list_select_related = ("organisation",)
    ordering = ("-created_at", "-id")
    fields = ("id", *list_display)
    readonly_fields = ("masked_address",)

    @admin.display(description=_("address"))
    def masked_address(self, row: Suppression) -> str:
        return masked(row.address) if row.address else "–"


@admin.register(Review, site=site)
class ReviewAdmin(ReadOnlyAdmin):
    """Figures stopped the mail; what goes on is decided here by a person."""

    list_display = (
        "domain",
        "organisation",
        "opened_at",
        "done",
        "hard",
        "asked_at",
        "decided_at",
        "decision",
    )
    list_filter = ("decision", ("asked_at", admin.EmptyFieldListFilter))
    list_select_related = ("organisation",)
    search_fields = ("=domain",)
    ordering = ("-opened_at",)
    fields = ("id", *list_display)
    actions = ("resume", "keep")

    @admin.action(description=_("Let its mail go on"), permissions=["act"])
    def resume(self, request: HttpRequest, rows: QuerySet[Review]) -> None:
        self._decide(request, rows, Review.Decision.RESUMED)

    @admin.action(description=_("Keep it stopped"), permissions=["act"])
    def keep(self, request: HttpRequest, rows: QuerySet[Review]) -> None:
        self._decide(request, rows, Review.Decision.KEPT)

    def _decide(
        self, request: HttpRequest, rows: QuerySet[Review], decision: Review.Decision
    ) -> None:
        if row := self.one(request, rows):
            try:
                reviews.decide(row, decision, by=current_person(request))
                messages.success(request, gettext("Decided. It counts within seconds."))
            except Refused as refused:
                messages.error(request, str(refused))
