# SPDX-License-Identifier: AGPL-3.0-or-later
"""The staff's page on which another person is shown in somebody's packages, with the reasons."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import clock
from accounts.access import current_person
from accounts.forms import EMAIL_LENGTH
from accounts.masking import masked
from accounts.models import User
from accounts.refusals import Refused
from accounts.staffsite import ReadOnlyAdmin, site
from gdpr import releases
from gdpr.forms import DETAILS_LENGTH
from gdpr.models import Release


class ReleaseForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    owner = forms.EmailField(
        label=_("Whose packages"),
        help_text=_("The e-mail address of the person who asked."),
        max_length=EMAIL_LENGTH,
    )
    reason = forms.CharField(
        label=_("Reasons"),
        help_text=_(
            "Why the person's interest in seeing this outweighs the other's. It stands in every"
            " package; ask the other person first where you can."
        ),
        max_length=DETAILS_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off"}),
    )

    class Meta:
        model = Release
        fields = ("owner", "address", "reason")
        help_texts = {"address": _("The e-mail address of the other person.")}

    by: User

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if {"owner", "address"} <= given.keys():
            try:
                self.instance.person = releases.owner_of(given["owner"], given["address"], self.by)
            except Refused as refused:
                self.add_error(None, str(refused))
        return given


@admin.register(Release, site=site)
class ReleaseAdmin(ReadOnlyAdmin):
    """Decided and taken back, never changed: each package says what was so when it was made."""

    form = ReleaseForm
    list_display = ("person", "shown", "decided_at")
    list_select_related = ("person",)
    ordering = ("-decided_at", "-id")
    fields = ("owner", "address", "reason")
    actions = ("take_back",)

    @admin.display(description=_("who is shown"))
    def shown(self, row: Release) -> str:
        return masked(row.address)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_act_permission(request)

    def get_fields(self, request: HttpRequest, obj: Release | None = None) -> Any:
        return self.fields if obj is None else ("person", "shown", "reason", "decided_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Release | None = None) -> Any:
        return () if obj is None else ("shown",)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.by = current_person(request)
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        releases.decide(obj, current_person(request), clock.now())

    @admin.action(description=_("Take back: hide the other person again"), permissions=["act"])
    def take_back(self, request: HttpRequest, rows: QuerySet[Release]) -> None:
        if row := self.one(request, rows):
            try:
                releases.take_back(row, current_person(request))
            except Refused as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, gettext("Hidden again in the packages made from now on."))
