# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms of staff."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from relay.models import Quota
from relay.releasing import Because


class ReleaseForm(forms.Form):
    """Why staff let mail go that this service set aside."""

    because = forms.ChoiceField(
        label=_("It is tried again, because"), choices=Because.choices, widget=forms.RadioSelect
    )


class QuotaForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    class Meta:
        model = Quota
        fields = ("organisation", "messages_an_hour", "messages_a_day")
        help_texts = {
            "messages_an_hour": _("What is above it is accepted and waits. Empty: no limit."),
            "messages_a_day": _("Counted beside the one above. Empty: no limit."),
        }
