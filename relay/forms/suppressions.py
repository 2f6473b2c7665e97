# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about addresses that get no mail."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay.forms.lines import line
from relay.models import Suppression
from relay.suppressions import IMPORT_OCTETS, FileTooLarge, NotAnAddress, read_address

Reason = Suppression.Reason


class AddressForm(forms.Form):
    """Looks for one address; a beginning cannot be looked for, as the list has fingerprints."""

    address = line(_("Address"), 254, _("A whole address."), inputmode="email")

    def clean_address(self) -> str:
        try:
            return read_address(self.cleaned_data["address"])
        except NotAnAddress as refused:
            raise ValidationError(str(refused)) from None


class SuppressionForm(AddressForm):
    domain = forms.ChoiceField(
        label=_("Mail from"),
        required=False,
        help_text=_("A domain covers the names below it."),
    )
    reason = forms.ChoiceField(
        label=_("Why"),
        choices=[
            (Reason.BY_PERSON, _("We want to send it nothing")),
            (Reason.OBJECTION, _("The recipient objected to our mail")),
            (Reason.COMPLAINT, _("The recipient complained about our mail")),
        ],
        initial=Reason.BY_PERSON,
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, domains: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(name, name) for name in domains]
        cast(forms.ChoiceField, self.fields["domain"]).choices = [
            ("", _("all your domains")),
            *named,
        ]


class ImportForm(forms.Form):
    file = forms.FileField(
        label=_("CSV file"),
        help_text=_(
            "One address per line, in the first column. Of a list that was exported here, domain,"
            " reason and end are read as well; other columns never are."
        ),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv,text/plain"}),
    )
    only_look = forms.BooleanField(
        label=_("Only say what the file holds"),
        required=False,
        help_text=_("Nothing is put on the list then."),
    )

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > IMPORT_OCTETS:
            raise ValidationError(str(FileTooLarge()))
        return cast(bytes, file.read())


class RemovalForm(forms.Form):
    """Whoever asked for no mail has to want it again; nobody else can say so."""

    wants_again = forms.BooleanField(
        label=_("The recipient has told us that they want our mail again"), required=False
    )
