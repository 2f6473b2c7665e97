# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.access import current_person
from accounts.masking import masked
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from relay import quotas, releasing
from relay.forms.staff import QuotaForm, ReleaseForm
from relay.models import Hold, QueuedDelivery, Quota

RELEASE = "admin:relay_queueddelivery_release"


@admin.register(QueuedDelivery, site=site)
class QueuedDeliveryAdmin(ReadOnlyAdmin):
    """Never what is written in it: staff have no grant on content, nor on its keys."""

    list_display = (
        "message_id",
        "organisation",
        "masked_recipient",
        "reason",
        "strikes",
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
        "strikes",
        "reason",
        "possible_duplicate",
        "cancelled_at",
        "lease_expires_at",
        "set_aside",
    )
    readonly_fields = ("masked_recipient", "set_aside")

    @admin.display(description=_("recipient"))
    def masked_recipient(self, row: QueuedDelivery) -> str:
        return masked(row.recipient)

    @admin.display(description=_("set aside"))
    def set_aside(self, row: QueuedDelivery) -> str:
        if row.reason != QueuedDelivery.Reason.QUARANTINED:
            return "–"
        url = reverse(RELEASE, args=[row.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Release it, because …"))

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<int:row_id>/release/",
            self.admin_site.admin_view(self.release_view),
            name=RELEASE.partition(":")[2],
        )
        return [own, *super().get_urls()]

    def release_view(self, request: HttpRequest, row_id: int) -> HttpResponse:
        """Have a message tried again that was set aside, and say why."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        row = get_object_or_404(QueuedDelivery.objects.select_related("organisation"), pk=row_id)
        form = ReleaseForm(request.POST or None)
        if form.is_valid() and self._released(request, row, form):
            return redirect("admin:relay_queueddelivery_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Release what was set aside"),
            "opts": self.opts,
            "form": form,
            "row": row,
        }
        return render(request, "admin/relay/release.html", context)

    def _released(self, request: HttpRequest, row: QueuedDelivery, form: ReleaseForm) -> bool:
        because = releasing.Because(form.cleaned_data["because"])
        try:
            count = releasing.release(row, because, by=current_person(request))
        except Refused as refused:
            form.add_error(None, str(refused))
            return False
        told = ngettext(
            "%(count)d delivery is tried now.", "%(count)d deliveries are tried now.", count
        )
        messages.success(request, told % {"count": count})
        return True


@admin.register(Hold, site=site)
class HoldAdmin(ReadOnlyAdmin):
    """What keeps mail back: people release their own holds, the others end by themselves."""

    list_display = ("organisation", "of", "reason", "held_at", "ends_at")
    list_filter = ("reason",)
    list_select_related = ("organisation",)
    ordering = ("-held_at", "-id")
    fields = ("id", *list_display)
    readonly_fields = ("of",)

    @admin.display(description=_("which mail"))
    def of(self, row: Hold) -> str:
        if row.message_id:
            return str(row.message_id)
        if row.domain is None:
            return gettext("all of it")
        sender, _at, to = row.domain.partition("@")
        words = (
            gettext("from %(name)s") % {"name": sender.strip()} if sender else "",
            gettext("to %(name)s") % {"name": to} if to else "",
        )
        return " ".join(filter(None, words))


@admin.register(Quota, site=site)
class QuotaAdmin(ReadOnlyAdmin):
    """One for each organisation; without one it sends as much as comes."""

    form = QuotaForm
    list_display = ("of", "messages_an_hour", "messages_a_day")
    list_select_related = ("organisation",)
    search_fields = ("organisation__name",)
    ordering = ("organisation__name",)
    fields = ("organisation", "messages_an_hour", "messages_a_day")

    @admin.display(description=_("organisation"))
    def of(self, row: Quota) -> str:
        return row.organisation.name

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_act_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_act_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["organisation"] if obj else []

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        """What the last quota held goes at once, as far as the new one lets it."""
        quotas.grant(obj, changed=form.changed_data, by=current_person(request))
