# SPDX-License-Identifier: AGPL-3.0-or-later
"""Search in the log."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay.forms.lines import line
from relay.models import Delivery
from relay.search import Search

BEGINNING_MIN = 3


class SearchForm(forms.Form):
    """Search in the log by what its indexes answer fast."""

    recipient = line(
        _("Recipient"),
        254,
        _("A whole address, or its beginning with a star: anna@*"),
        required=False,
        inputmode="email",
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=[("", _("any")), *Delivery.State.choices],
    )
    day = forms.DateField(
        label=_("Day"),
        required=False,
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        input_formats=["%Y-%m-%d"],
    )

    def __init__(self, *args: Any, masked: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._masked = masked
        if masked:
            self.fields["recipient"].help_text = _("A whole address.")

    def clean_recipient(self) -> str:
        text = cast(str, self.cleaned_data["recipient"]).lower()
        beginning = text.rstrip("*")
        if self._masked and text and (beginning != text or "@" not in text):
            # Beginnings would let somebody spell out what is masked, letter by letter.
            raise ValidationError(_("Your role sees addresses masked. Write a whole address."))
        if text and len(beginning) < BEGINNING_MIN:
            raise ValidationError(
                _("Too short: write at least three characters of the address, then a star.")
            )
        return text

    def search(self) -> Search:
        data = self.cleaned_data
        written = data["recipient"]
        recipient = written.rstrip("*")
        return Search(
            recipient=recipient,
            beginning=bool(recipient) and (recipient != written or "@" not in recipient),
            state=data["state"],
            day=data["day"],
        )


def written(search: Search) -> dict[str, Any]:
    """Return the form's fields as they were when the search was made."""
    star = "*" if search.beginning else ""
    return {"recipient": search.recipient + star, "state": search.state, "day": search.day}
