# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from relay.models import LogChoice


@admin.register(LogChoice, site=site)
class LogChoiceAdmin(ReadOnlyAdmin):
    """Whoever is not listed has the least logged, for the whole period."""

    list_display = ("organisation", "profile", "days", "changed_at")
    list_filter = ("profile",)
    list_select_related = ("organisation",)
    search_fields = ("organisation__name",)
    ordering = ("organisation__name",)
    fields = ("organisation", "profile", "days", "changed_at")
