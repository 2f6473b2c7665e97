# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import current_person
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from relay import credentials
from relay.models import Credential


@admin.register(Credential, site=site)
class CredentialAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "username",
        "organisation",
        "mode",
        "created_at",
        "last_used_at",
        "blocked_at",
        "revoked_at",
    )
    list_filter = (
        "mode",
        "block_reason",
        ("revoked_at", admin.EmptyFieldListFilter),
    )
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
        "recipients_a_day",
        "networks",
        "by_network",
        "domains",
        "created_at",
        "last_used_at",
        "blocked_at",
        "block_reason",
        "revoked_at",
    )
    actions = ("block", "unblock", "revoke")

    @admin.action(description=_("Block"), permissions=["act"])
    def block(self, request: HttpRequest, rows: QuerySet[Credential]) -> None:
        if row := self.one(request, rows):
            reason = Credential.BlockReason.BY_STAFF
            self._stand(request, partial(credentials.block, row, reason=reason))

    @admin.action(description=_("Lift the block"), permissions=["act"])
    def unblock(self, request: HttpRequest, rows: QuerySet[Credential]) -> None:
        if row := self.one(request, rows):
            self._stand(request, partial(credentials.unblock, row, is_staff=True))

    def _stand(self, request: HttpRequest, act: Callable[..., None]) -> None:
        try:
            act(by=current_person(request))
            messages.success(request, gettext("Done. It counts within 5 seconds."))
        except Refused as refused:
            messages.error(request, str(refused))

    @admin.action(description=_("Revoke"), permissions=["act"])
    def revoke(self, request: HttpRequest, rows: QuerySet[Credential]) -> None:
        if row := self.one(request, rows):
            credentials.revoke(row, by=current_person(request))
            messages.success(request, gettext("Revoked. It opens nothing within 5 seconds."))
