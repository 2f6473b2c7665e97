# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms of requests. Each choice says what it leads to; none needs a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.forms import EMAIL_LENGTH
from gdpr.importing import reading
from gdpr.letters.writing import Abuse, Proof
from gdpr.models import AddressErasure, Right
from gdpr.rights.rectification import Wish, fields
from relay.models import Suppression

DETAILS_LENGTH = 4000
OTHER = "other"

# What the portal offers here, and what comes of it. Restriction and objection are asked for by
# letter or mail, as the page says: nothing in the program carries them out.
OFFERED: dict[Right, Any] = {
    Right.ACCESS: _("Access – a copy of everything that is kept about you, with what it is for"),
    Right.PORTABILITY: _("Portability – what you have provided, for another service to read"),
}


def correction_choices() -> list[tuple[str, str | Promise]]:
    return [*fields().items(), (OTHER, _("something else"))]


class CorrectionForm(forms.Form):
    """What is wrong and cannot be corrected on the profile page."""

    field = forms.ChoiceField(label=_("What is wrong?"), choices=correction_choices)
    value = forms.CharField(
        label=_("What should it be?"),
        max_length=DETAILS_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off"}),
    )
    evidence = forms.CharField(
        label=_("How can we see that?"),
        help_text=_("A few words; never a civil registration number or a copy of a passport."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("field", "").endswith(".email") and "value" in data:
            try:
                data["value"] = forms.EmailField(max_length=EMAIL_LENGTH).clean(data["value"])
            except ValidationError as error:
                self.add_error("value", error)
        return data

    def wish(self) -> Wish:
        data = self.cleaned_data
        field = "" if data["field"] == OTHER else data["field"]
        return Wish(field, data["value"], data["evidence"])


class AnswerForm(forms.Form):
    """The person's answer to a question of ours."""

    answer = forms.CharField(
        label=_("Your answer"),
        max_length=DETAILS_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off"}),
    )


class DecisionForm(forms.Form):
    """What staff do next about a right, and the words that the person reads."""

    what = forms.ChoiceField(label=_("Next"), widget=forms.RadioSelect)
    reason = forms.CharField(
        label=_("Reasons, or the question"),
        help_text=_("The person reads this. Needed to ask, extend, refuse or do a part only."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "autocomplete": "off"}),
    )

    ground = forms.ChoiceField(
        label=_("The request is"),
        help_text=_("For a refusal or a fee on that ground alone, with what shows it."),
        choices=[("", "–"), *Abuse.choices],
        required=False,
    )
    evidence = forms.CharField(
        label=_("What shows it"),
        help_text=_("Dates and numbers; the person reads this. The proof is ours."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )
    fee = forms.DecimalField(
        label=_("Fee in DKK"), min_value=1, max_digits=8, decimal_places=2, required=False
    )

    def proof(self) -> Proof:
        data = self.cleaned_data
        return Proof(data["ground"], data["evidence"], data["fee"])

    def __init__(self, *args: Any, moves: Mapping[str, str | Promise], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cast(forms.ChoiceField, self.fields["what"]).choices = list(moves.items())


class FindingsForm(forms.Form):
    """Why what a scan stopped at is not the person; the words stand on the certificate."""

    because = forms.CharField(
        label=_("This is not the person, because"),
        help_text=_("It stands on the certificate: name nobody, and nothing that was found."),
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )


class ImportForm(forms.Form):
    """A portability package of the person's own."""

    file = forms.FileField(
        label=_("ZIP file"),
        widget=forms.FileInput(attrs={"accept": "application/zip,.zip"}),
        max_length=200,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        words = _("At most %(size)s. First you see what it would do; nothing is written yet.")
        self.fields["file"].help_text = words % {"size": filesizeformat(reading.LARGEST)}

    def clean_file(self) -> bytes:
        file = self.cleaned_data["file"]
        if file.size > reading.LARGEST:
            raise ValidationError(str(reading.TooLarge()))
        return cast(bytes, file.read())


class RequestForm(forms.Form):
    """What the person asks for; several rights make one request."""

    rights = forms.MultipleChoiceField(
        label=_("What do you ask for?"),
        choices=list(OFFERED.items()),
        widget=forms.CheckboxSelectMultiple,
    )

    def asked(self) -> dict[Right, str]:
        """Return the chosen rights; nothing need be written about them."""
        return dict.fromkeys(map(Right, self.cleaned_data["rights"]), "")


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
