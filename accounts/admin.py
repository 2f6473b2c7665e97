# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of organisations, people and the service's own doings; never a secret."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import alerts, audit, consents, standing
from accounts.access import current_person
from accounts.masking import masked
from accounts.models import (
    Alert,
    AuditEvent,
    Consent,
    Membership,
    Organisation,
    OutgoingMail,
    User,
)
from accounts.staffsite import ReadOnlyAdmin, site

Standing = Organisation.Standing
Rows = QuerySet[Organisation]


@admin.register(Organisation, site=site)
class OrganisationAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "country",
        "standing",
        "sending_allowed",
        "sending_reason",
        "created_at",
    )
    list_filter = ("standing", "sending_allowed", "sending_reason")
    search_fields = ("name", "=vat_number")
    ordering = ("-created_at",)
    fields = (
        "id",
        "name",
        "address",
        "postcode",
        "city",
        "country",
        "vat_number",
        "standing",
        "sending_allowed",
        "sending_reason",
        "sending_changed_at",
        "second_factor_required",
        "queue_lifetime_hours",
        "created_at",
    )
    actions = ("allow_sending", "stop_sending", "set_good", "set_unpaid", "set_suspended")

    @admin.action(description=_("Allow sending"), permissions=["act"])
    def allow_sending(self, request: HttpRequest, rows: Rows) -> None:
        if row := self.one(request, rows):
            reason = Organisation.SendingReason.STAFF
            standing.allow_sending(row, reason, by=current_person(request))
            messages.success(request, gettext("%(name)s may send.") % {"name": row.name})

    @admin.action(description=_("Stop sending"), permissions=["act"])
    def stop_sending(self, request: HttpRequest, rows: Rows) -> None:
        if row := self.one(request, rows):
            reason = Organisation.SendingReason.STAFF
            standing.stop_sending(row, reason, by=current_person(request))
            messages.success(request, gettext("%(name)s may not send.") % {"name": row.name})

    @admin.action(description=_("Set the standing to good"), permissions=["act"])
    def set_good(self, request: HttpRequest, rows: Rows) -> None:
        self._set(request, rows, Standing.GOOD)

    @admin.action(description=_("Set the standing to unpaid"), permissions=["act"])
    def set_unpaid(self, request: HttpRequest, rows: Rows) -> None:
        self._set(request, rows, Standing.UNPAID)

    @admin.action(description=_("Suspend"), permissions=["act"])
    def set_suspended(self, request: HttpRequest, rows: Rows) -> None:
        self._set(request, rows, Standing.SUSPENDED)

    def _set(self, request: HttpRequest, rows: Rows, to: Organisation.Standing) -> None:
        if row := self.one(request, rows):
            standing.change_standing(row, to, by=current_person(request))
            told = gettext("The standing of %(name)s is now: %(standing)s.")
            messages.success(request, told % {"name": row.name, "standing": to.label})


class Because(models.TextChoices):
    """What somebody may look at a restricted person for (GDPR article 18(2))."""

    RIGHTS = "rights", _("to answer the person's own request, or with their consent")
    CLAIMS = "claims", _("for a legal claim")
    OTHERS = "others", _("to protect the rights of somebody else")
    PUBLIC = "public", _("for an important public interest")


class BecauseForm(forms.Form):
    because = forms.ChoiceField(
        label=_("Why do you look at it?"), choices=Because, widget=forms.RadioSelect
    )


@admin.register(User, site=site)
class PersonAdmin(ReadOnlyAdmin):
    """Each look at one person is recorded; the list has names and masked addresses alone."""

    list_display = ("__str__", "shown_name", "masked_address", "is_active", "is_staff")
    list_filter = ("is_staff", "is_active")
    ordering = ("-created_at",)
    fields = (
        "id",
        "first_name",
        "last_name",
        "masked_address",
        "language",
        "time_zone",
        "is_active",
        "is_staff",
        "must_change_password",
        "confirmed_at",
        "created_at",
        "last_login",
        "restricted_at",
    )

    @admin.display(description=_("e-mail"))
    def masked_address(self, row: User) -> str:
        return masked(row.email)

    @admin.display(description=_("name"))
    def shown_name(self, row: User) -> str:
        return gettext("restricted") if row.restricted_at else row.get_full_name()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A restricted person is looked at for a reason that the law names alone."""
        row = self.get_object(request, object_id)
        form = BecauseForm(request.GET or None)
        if row is not None and row.restricted_at and not form.is_valid():
            context = self.admin_site.each_context(request)
            about = {"title": gettext("This account is restricted"), "opts": self.opts}
            return render(request, "admin/accounts/because.html", context | about | {"form": form})
        because = [f"because-{form.cleaned_data['because']}"] if row and row.restricted_at else []
        if row is not None:
            audit.record_installation(current_person(request), "person.viewed", row, because)
        # What is asked here is no filter of a list.
        request.GET = QueryDict()
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(Consent, site=site)
class ConsentAdmin(ReadOnlyAdmin):
    """Staff end a consent for whoever asks by phone or mail; they never give one."""

    list_display = ("__str__", "user", "purpose", "given_at", "withdrawn_at")
    list_filter = ("purpose", ("withdrawn_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    ordering = ("-given_at",)
    fields = (
        "id",
        "user",
        "purpose",
        "version",
        "language",
        "digest",
        "given_in",
        "given_at",
        "confirmed_at",
        "withdrawn_at",
        "withdrawn_in",
    )
    actions = ("withdraw",)

    @admin.action(description=_("Withdraw, as the person asked"), permissions=["act"])
    def withdraw(self, request: HttpRequest, rows: QuerySet[Consent]) -> None:
        if row := self.one(request, rows):
            ended = [Consent.Purpose(row.purpose)]
            by = current_person(request)
            consents.withdraw(row.user, ended, Consent.Channel.STAFF, by=by)
            messages.success(request, gettext("Withdrawn."))


@admin.register(Membership, site=site)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "organisation", "user", "role", "created_at", "approved_at")
    list_filter = ("role",)
    list_select_related = ("organisation", "user")
    ordering = ("-created_at",)
    fields = ("id", "organisation", "user", "role", "created_at", "approved_at", "approved_by")


@admin.register(AuditEvent, site=site)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "organisation", "sequence", "action", "target_type", "target_id")
    list_filter = ("action",)
    list_select_related = ("organisation",)
    ordering = ("-at", "-id")
    fields = (
        "organisation",
        "sequence",
        "at",
        "actor_id",
        "action",
        "target_type",
        "target_id",
        "fields",
    )


@admin.register(Alert, site=site)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("kind", "subject", "count", "first_at", "last_at", "resolved_at")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "kind")
    ordering = ("-last_at",)
    fields = list_display
    actions = ("resolve",)

    @admin.action(description=_("Resolve"), permissions=["act"])
    def resolve(self, request: HttpRequest, rows: QuerySet[Alert]) -> None:
        if row := self.one(request, rows):
            alerts.resolve_alert(row.kind, row.subject)
            audit.record_installation(current_person(request), "alert.resolved", row)
            messages.success(request, gettext("Resolved. It comes back if it happens again."))


@admin.register(OutgoingMail, site=site)
class OutgoingMailAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "organisation", "created_at", "due_at", "attempts", "last_error")
    list_filter = ("kind",)
    list_select_related = ("organisation",)
    ordering = ("due_at",)
    fields = ("id", "kind", "organisation", "created_at", "due_at", "attempts", "last_error")
