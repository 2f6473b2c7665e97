# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of credentials, domains, routes and the queue: no secret, no whole address."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import current_person
from accounts.masking import masked
from accounts.staffsite import ReadOnlyAdmin, site
from relay import credentials
from relay.models import Credential, QueuedDelivery, Route, SendingDomain


@admin.register(Credential, site=site)
class CredentialAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "username",
        "organisation",
        "mode",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("mode", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("organisation",)
    search_fields = ("=username",)
    ordering = ("-created_at",)
    fields = (
        "id",
        "organisation",
        "name",
        "username",
        "mode",
        "rate_per_minute",
        "daily_cap",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    actions = ("revoke",)

    @admin.action(description=_("Revoke"), permissions=["act"])
    def revoke(self, request: HttpRequest, rows: QuerySet[Credential]) -> None:
        if row := self.one(request, rows):
            credentials.revoke(row, by=current_person(request))
            messages.success(request, gettext("Revoked. It opens nothing within 5 seconds."))


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


@admin.register(QueuedDelivery, site=site)
class QueuedDeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "message_id",
        "organisation",
        "masked_recipient",
        "reason",
        "attempts",
        "due_at",
        "expires_at",
    )
    list_filter = ("reason",)
    list_select_related = ("organisation",)
    search_fields = ("=message_id",)
    ordering = ("id",)
    fields = (
        "message_id",
        "position",
        "organisation",
        "masked_recipient",
        "accepted_at",
        "due_at",
        "expires_at",
        "attempts",
        "reason",
        "possible_duplicate",
        "lease_expires_at",
    )

    @admin.display(description=_("recipient"))
    def masked_recipient(self, row: QueuedDelivery) -> str:
        return masked(row.recipient)
