# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from relay.models import Route


@admin.register(Route, site=site)
class RouteAdmin(ReadOnlyAdmin):
    list_display = (
        *("name", "organisation", "kind", "host", "port", "security"),
        *("worked_at", "failed_at", "paused_at", "pause_reason"),
    )
    list_filter = ("kind", "security", "pause_reason")
    list_select_related = ("organisation",)
    search_fields = ("host",)
    ordering = ("-created_at",)
    # The user name is left out: it is often somebody's address.
    fields = (
        "id",
        "organisation",
        "name",
        "domain",
        "priority",
        "takes_over",
        "kind",
        "provider",
        "host",
        "port",
        "security",
        "concurrency",
        "version",
        "worked_at",
        "failed_at",
        "failed_code",
        "failed_enhanced",
        "failed_stage",
        "rest_until",
        "paused_at",
        "pause_reason",
        "created_at",
    )
