# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from relay.models import SendingDomain


@admin.register(SendingDomain, site=site)
class SendingDomainAdmin(ReadOnlyAdmin):
    list_display = ("name", "organisation", "state", "reason", "checked_at", "verified_at")
    list_filter = ("state", "reason")
    list_select_related = ("organisation",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = (
        "id",
        "organisation",
        "name",
        "state",
        "reason",
        "created_at",
        "checked_at",
        "verified_at",
    )
