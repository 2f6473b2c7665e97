# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms of requests. Each choice says what it leads to; none needs a script."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.forms import EMAIL_LENGTH
from accounts.models import User
from gdpr.importing import reading
from gdpr.intake import Letter
from gdpr.letters.writing import Abuse, Proof
from gdpr.models import Right
from gdpr.rights.rectification import Wish, fields
from gdpr.rights.restriction import CHOSEN

DETAILS_LENGTH = 4000
OTHER = "other"

# What the portal offers, and what comes of it.
OFFERED: dict[Right, Any] = {
    Right.ACCESS: _("Access – a copy of everything that is kept about you, with what it is for"),
    Right.PORTABILITY: _("Portability – what you have provided, for another service to read"),
    Right.RECTIFICATION: _("Correction – of something that you cannot correct on your profile"),
    Right.RESTRICTION: _("Restriction – data are kept and not used"),
    Right.OBJECTION: _("Objection – to what rests on our legitimate interests, or to marketing"),
    Right.CONSENT: _("Withdrawal – of a consent that you have given"),
    Right.REVIEW: _("A person – looks at what was decided automatically, as that mail is stopped"),
    Right.ERASURE: _(
        "Erasure – of your account; nobody can use it from now on, and you have time to think again"
    ),
}
# What people have to know before they can say yes or no.
EXPLAINED: dict[Right, Any] = {
    Right.RESTRICTION: _("Which data should be restricted, and why?"),
    Right.OBJECTION: _("What do you object to, and why?"),
    Right.REVIEW: _("Which decision should a person look at, and what is wrong with it?"),
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
    restrict = forms.BooleanField(
        label=_("Do not use my account until this is decided"),
        help_text=_("You reach your rights and nothing else meanwhile (GDPR article 18(1)(a))."),
        required=False,
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
        return Wish(field, data["value"], data["evidence"], data["restrict"])


class RestrictionForm(forms.Form):
    """On what ground an account is restricted, and what the person wants to say about it."""

    ground = forms.ChoiceField(
        label=_("Why?"),
        choices=[(ground, ground.label) for ground in CHOSEN],
        widget=forms.RadioSelect,
    )
    words = forms.CharField(
        label=_("What should we know?"),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )


class ObjectionForm(forms.Form):
    """What is objected to; marketing needs no reason, anything else is about one's situation."""

    MARKETING, USE = "marketing", "use"

    what = forms.ChoiceField(
        label=_("What do you object to?"),
        choices=[(MARKETING, _("marketing, and nothing else")), (USE, _("a use of my data"))],
        widget=forms.RadioSelect,
    )
    words = forms.CharField(
        label=_("Which use, and what speaks against it in your situation?"),
        help_text=_("Not needed for marketing."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("what") == self.USE and not data.get("words"):
            self.add_error("words", _("Say which use you object to, and why."))
        return data

    @property
    def marketing_only(self) -> bool:
        return bool(self.cleaned_data["what"] == self.MARKETING)


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


class SecondLookForm(forms.Form):
    """Why the person is not content with an answer."""

    words = forms.CharField(
        label=_("Why are you not content?"),
        help_text=_("You need not say. It helps who looks at it again."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "autocomplete": "off"}),
    )


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
    """What the person asks for; several rights make one request, each with what it needs."""

    rights = forms.MultipleChoiceField(
        label=_("What do you ask for?"),
        choices=list(OFFERED.items()),
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for right, question in EXPLAINED.items():
            self.fields[right] = _words(question, 4)
        for name, field in CorrectionForm.base_fields.items():
            self.fields[name] = deepcopy(field)
            self.fields[name].required = False

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        chosen = data.get("rights", [])
        for right in EXPLAINED:
            if right in chosen and not data.get(right, "").strip():
                self.add_error(right, _("Needed for what you have ticked."))
        if Right.RECTIFICATION in chosen:
            self._clean_correction()
        return data

    def _clean_correction(self) -> None:
        correction = CorrectionForm(self.data)
        for name, errors in correction.errors.items():
            self.add_error(name, errors)
        self.correction = correction

    def asked(self) -> dict[Right, str]:
        """Return the chosen rights with what was written about each."""
        chosen = map(Right, self.cleaned_data["rights"])
        return {right: self.cleaned_data.get(right, "") for right in chosen}

    def wish(self) -> Wish | None:
        """Return what is to be corrected, None when that is not asked for."""
        if Right.RECTIFICATION not in self.cleaned_data["rights"]:
            return None
        return self.correction.wish()


class EntryForm(forms.Form):
    """A request that came by mail, phone or post, as staff take it down."""

    received_at = forms.DateTimeField(
        label=_("Received"),
        help_text=_("When it reached us, whoever opened it and when: the clock counts from there."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    language = forms.ChoiceField(label=_("Language of the answer"), choices=User.Language)
    rights = forms.MultipleChoiceField(
        label=_("What is asked for"), choices=Right, widget=forms.CheckboxSelectMultiple
    )
    address = forms.EmailField(
        label=_("Address of the account"),
        help_text=_("Exactly as it was given; empty when none was."),
        max_length=EMAIL_LENGTH,
        required=False,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    contact = forms.CharField(
        label=_("How to reach whoever wrote"),
        help_text=_("Name, address or phone. It is kept encrypted, and goes with the answer."),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
    )
    words = forms.CharField(
        label=_("What was said or written"),
        max_length=DETAILS_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "autocomplete": "off"}),
    )

    def letter(self) -> Letter:
        data = self.cleaned_data
        return Letter(
            received_at=data["received_at"],
            language=data["language"],
            rights=tuple(map(Right, data["rights"])),
            words=data["words"],
            address=data["address"],
            contact=data["contact"],
        )


def _words(label: Any, rows: int) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": rows, "autocomplete": "off"})
    return forms.CharField(label=label, max_length=DETAILS_LENGTH, required=False, widget=widget)
