# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms of what an organisation does about one address, which stands in the page's own address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from gdpr.models import AddressErasure
from relay.forms.restrictions import RestrictionForm
from relay.models import Suppression


class AddressErasureForm(forms.Form):
    """What becomes of mail to the address that waits; asked only where some does."""

    waiting = forms.ChoiceField(
        label=_("Mail that waits for this address"),
        choices=[
            (
                AddressErasure.Waiting.RETURN,
                _("Give it up – its sender gets a notice that it was not delivered"),
            ),
            (
                AddressErasure.Waiting.CANCEL,
                _("Cancel it – nobody is told, and its content is destroyed"),
            ),
        ],
        initial=AddressErasure.Waiting.RETURN,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, waits: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not waits:
            del self.fields["waiting"]

    def chosen(self) -> AddressErasure.Waiting:
        """Return the choice; mail that comes in meanwhile is never lost without a word."""
        chosen = self.cleaned_data.get("waiting", AddressErasure.Waiting.RETURN)
        return AddressErasure.Waiting(chosen)


class NoMailForm(forms.Form):
    """Why an address is to get no mail from the organisation."""

    reason = forms.ChoiceField(
        label=_("Why"),
        choices=[
            (Suppression.Reason.OBJECTION, _("The recipient objected to our mail")),
            (Suppression.Reason.BY_PERSON, _("We want to send it nothing")),
        ],
        initial=Suppression.Reason.OBJECTION,
        widget=forms.RadioSelect,
    )

    def chosen(self) -> Suppression.Reason:
        return Suppression.Reason(self.cleaned_data["reason"])


class NotUsedForm(RestrictionForm):
    """Why an address is to be kept and not used."""

    address = None
