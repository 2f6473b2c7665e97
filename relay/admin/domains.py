# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from relay.models import DkimKey, SendingDomain


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


@admin.register(DkimKey, site=site)
class DkimKeyAdmin(ReadOnlyAdmin):
    """Never its private half: staff have no grant on it."""

    list_display = ("selector", "domain", "algorithm", "created_at", "signs_since", "retired_at")
    list_filter = ("algorithm", ("retired_at", admin.EmptyFieldListFilter))
    list_select_related = ("domain",)
    search_fields = ("=selector", "domain__name")
    ordering = ("-created_at",)
    fields = (
        "id",
        "organisation",
        "domain",
        "selector",
        "algorithm",
        "public",
        "created_at",
        "seen_at",
        "signs_since",
        "retired_at",
    )
