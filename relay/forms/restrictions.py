# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about addresses that are kept and not used."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from relay.forms.suppressions import AddressForm
from relay.models import Restriction


class RestrictionForm(AddressForm):
    ground = forms.ChoiceField(
        label=_("Why"),
        choices=Restriction.Ground.choices,
        initial=Restriction.Ground.ACCURACY,
        widget=forms.RadioSelect,
        help_text=_("The grounds of article 18(1) of the GDPR."),
    )


class LiftForm(forms.Form):
    """Before a restriction ends, the person hears of it (article 18(3))."""

    told_on = forms.DateField(
        label=_("The day on which you told the person"),
        help_text=_("The GDPR asks you to tell them first (article 18(3))."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
