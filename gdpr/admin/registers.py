# SPDX-License-Identifier: AGPL-3.0-or-later
"""What staff see of duties: what was forgotten and would be next, and who gets data."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts.access import current_person
from accounts.countries import country_choices
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import inventory, recipients
from gdpr.models import Recipient, RetentionGauge, RetentionRun
from gdpr.models.recipients import SERVICES
from gdpr.registry import Cadence


@admin.register(RetentionRun, site=site)
class RetentionRunAdmin(ReadOnlyAdmin):
    """Above the runs stands the dry run: what each table's next run deletes, measured hourly."""

    list_display = ("what", "rows", "started_at", "finished_at")
    list_filter = (("what", admin.AllValuesFieldListFilter),)
    ordering = ("-started_at", "-id")
    fields = ("what", "rows", "started_at", "finished_at")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"plan": [_planned(gauge) for gauge in RetentionGauge.objects.order_by("what")]}
        return super().changelist_view(request, context | (extra_context or {}))


def _planned(gauge: RetentionGauge) -> dict[str, Any]:
    keep = inventory.entry(gauge.what).keep
    hourly = keep is not None and keep.cadence is Cadence.HOURLY
    return {
        "gauge": gauge,
        "kept": keep.words if keep else "",
        "next": _("within the hour") if hourly else _("next night"),
    }


class RecipientForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    country = forms.ChoiceField(label=_("Country"), choices=country_choices)
    services = forms.MultipleChoiceField(
        label=_("Services"), choices=SERVICES, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Recipient
        fields = (
            "name",
            "address",
            "country",
            "company_number",
            "contact",
            "services",
            "transfer",
            "engaged_by",
            "starts_on",
            "ends_on",
            "contract_on",
            "reviewed_on",
        )
        help_texts = {
            "contact": _("A desk's address or telephone, not a named person's."),
            "ends_on": _("An ended recipient stays in the register."),
            "reviewed_on": _("When somebody last looked whether the contract is kept."),
        }

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        whole = {"services", "starts_on", "ends_on"} <= given.keys()
        if whole and recipients.needs_notice(self.instance, self.changed_data, given["ends_on"]):
            recipients.demand_notice(given["services"], given["starts_on"])
        return given


@admin.register(Recipient, site=site)
class RecipientAdmin(ReadOnlyAdmin):
    form = RecipientForm
    list_display = ("name", "country", "transfer", "starts_on", "ends_on", "reviewed_on")
    list_filter = ("transfer", "country")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_act_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self.has_act_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        recipients.enter(obj, changed=form.changed_data, by=current_person(request))
