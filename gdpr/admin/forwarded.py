# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which requests were passed on to whom, and how their clocks stand; staff do not read them."""

from __future__ import annotations

from django.contrib import admin

from accounts.staffsite import ReadOnlyAdmin, site
from gdpr.models import ForwardedRequest


@admin.register(ForwardedRequest, site=site)
class ForwardedRequestAdmin(ReadOnlyAdmin):
    """Open ones on top, the one that is due next first."""

    list_display = ("reference", "organisation", "state", "promised_on", "due_on", "escalated")
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "state", "escalated")
    list_select_related = ("organisation",)
    readonly_fields = ("reference",)
    ordering = ("-closed_at", "promised_on")
    fields = (
        "reference",
        "organisation",
        "state",
        "received_at",
        "forwarded_at",
        "promised_on",
        "due_on",
        "extended_at",
        "closed_at",
        "escalated",
    )
