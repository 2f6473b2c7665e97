# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from relay.models import Route


@admin.register(Route, site=site)
class RouteAdmin(ReadOnlyAdmin):
    list_display = ("name", "organisation", "host", "port", "security", "paused_at", "pause_reason")
    list_filter = ("security", "pause_reason")
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
        "host",
        "port",
        "security",
        "concurrency",
        "version",
        "paused_at",
        "pause_reason",
        "created_at",
    )
