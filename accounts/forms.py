# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about people and organisations. Each field says why it is asked; none needs a script."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.contrib.auth.password_validation import (
    password_validators_help_texts,
    validate_password,
)
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts import wordings
from accounts.countries import country_choices, time_zone_choices
from accounts.models import Consent, Role, User
from accounts.models.organisations import QUEUE_HOURS_MAX, QUEUE_HOURS_MIN
from accounts.signup import check_vat_number

# RFC 5321, section 4.5.3.1.3: a path has at most 256 octets, two of them the brackets.
EMAIL_LENGTH = 254

ROLE_MEANINGS = {
    Role.OWNER: _("Owner – everything, also letting people in"),
    Role.ADMIN: _("Administrator – everything but letting people in"),
    Role.DEVELOPER: _("Developer – credentials, domains, routes and the queue"),
    Role.VIEWER: _("Viewer – reads everything, with addresses masked"),
    Role.PRIVACY: _("Privacy – agreements, the audit trail and the team"),
}


def _text(label: Any, length: int, why: Any = "", *, fill: str, required: bool = True) -> Any:
    """A line of text; `fill` is the autocomplete token (WCAG 2.2, criterion 1.3.5)."""
    widget = forms.TextInput(attrs={"autocomplete": fill})
    return forms.CharField(
        label=label, max_length=length, help_text=why, required=required, widget=widget
    )


def _email(label: Any, why: Any = "", *, fill: str = "email") -> Any:
    widget = forms.EmailInput(attrs={"autocomplete": fill})
    return forms.EmailField(label=label, max_length=EMAIL_LENGTH, help_text=why, widget=widget)


def _password(label: Any, why: Any = "", *, fill: str = "current-password") -> Any:
    widget = forms.PasswordInput(attrs={"autocomplete": fill})
    return forms.CharField(label=label, max_length=1000, strip=False, help_text=why, widget=widget)


def _token(label: Any, why: Any) -> Any:
    attrs = {"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}
    widget = forms.TextInput(attrs=attrs)
    return forms.CharField(label=label, max_length=40, help_text=why, widget=widget)


class PersonForm(forms.Form):
    """What is asked about a person."""

    first_name = _text(
        _("First name"),
        100,
        _("Your colleagues see your name, and the audit trail says who did what."),
        fill="given-name",
    )
    last_name = _text(_("Last name"), 100, fill="family-name")
    title = _text(
        _("Title"),
        100,
        _("Your position, if it should stand beside your name."),
        fill="organization-title",
        required=False,
    )
    phone = _text(
        _("Phone"),
        40,
        _("Only used when something is wrong with your mail and e-mail does not reach you."),
        fill="tel",
        required=False,
    )


class CompanyForm(forms.Form):
    """What is asked about an organisation: who it is."""

    name = _text(
        _("Company or association"),
        200,
        _("The data controller: the mail that is sent is its own."),
        fill="organization",
    )
    country = forms.ChoiceField(
        label=_("Country"),
        choices=country_choices,
        initial="DK",
        help_text=_("Decides which rules and which kind of VAT number apply."),
        widget=forms.Select(attrs={"autocomplete": "country"}),
    )
    vat_number = _text(
        _("CVR or VAT number"),
        20,
        _("Says exactly which company it is. Leave it empty if you have none."),
        fill="off",
        required=False,
    )
    address = _text(
        _("Address"),
        200,
        _("Where the company is; it can wait."),
        fill="street-address",
        required=False,
    )
    postcode = _text(_("Postcode"), 20, fill="postal-code", required=False)
    city = _text(_("City"), 100, fill="address-level2", required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("vat_number") and data.get("country"):
            self._check_vat_number(data)
        return data

    def _check_vat_number(self, data: dict[str, Any]) -> None:
        try:
            data["vat_number"] = check_vat_number(data["country"], data["vat_number"])
        except ValidationError as error:
            self.add_error("vat_number", error)


class ConsentForm(forms.Form):
    """A box, never ticked beforehand, for each purpose that is not in force (recital 32)."""

    def __init__(self, *args: Any, taken: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for purpose in Consent.Purpose:
            if purpose not in taken:
                words = wordings.current(purpose).text(get_language() or "da")
                self.fields[purpose] = forms.BooleanField(label=words, required=False)

    def ticked(self) -> list[Consent.Purpose]:
        return [one for one in Consent.Purpose if self.cleaned_data.get(one)]

    def consent_fields(self) -> list[forms.BoundField]:
        return [self[one] for one in Consent.Purpose if one in self.fields]


class SignUpForm(ConsentForm, CompanyForm, PersonForm):
    """A person and their organisation on one page, in parts; consents apart from the rest."""

    template_name = "accounts/_sign_up_fields.html"
    email = _email(
        _("E-mail"),
        _("Your sign-in name. The link that opens your account is sent to it."),
    )

    def person_fields(self) -> list[forms.BoundField]:
        names = ("first_name", "last_name", "email", "title", "phone")
        return [self[name] for name in names]

    def company_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in CompanyForm.base_fields]


class OrganisationForm(CompanyForm):
    """The organisation's own settings."""

    second_factor_required = forms.BooleanField(
        label=_("Everybody must use a second factor"),
        help_text=_("Who has none is asked to set one up the next time they open a page."),
        required=False,
    )
    queue_lifetime_hours = forms.IntegerField(
        label=_("Hours to keep trying"),
        min_value=QUEUE_HOURS_MIN,
        max_value=QUEUE_HOURS_MAX,
        help_text=_(
            "From 4 to 120. Mail that has not arrived by then goes back to its sender. A change"
            " counts for mail accepted from now on."
        ),
    )


class ProfileForm(PersonForm):
    language = forms.ChoiceField(
        label=_("Language"),
        choices=User.Language.choices,
        help_text=_("Of the mails that you get, and of these pages when you sign in."),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=time_zone_choices,
        help_text=_("Times are shown in it."),
    )


class SignInForm(forms.Form):
    email = _email(_("E-mail"), fill="username")
    password = _password(_("Password"), _("The first time: the code that you were shown."))


class ResetRequestForm(forms.Form):
    email = _email(_("E-mail"), _("The address that you sign in with."))


class NewPasswordForm(forms.Form):
    """A new password, written twice and held against the password rule."""

    new_password = _password(_("New password"), fill="new-password")
    repeated = _password(_("The new password again"), fill="new-password")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["new_password"].help_text = " ".join(password_validators_help_texts())

    def clean_new_password(self) -> str:
        password = cast(str, self.cleaned_data["new_password"])
        validate_password(password, self.user)
        return password

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        written = (data.get("new_password"), data.get("repeated"))
        if all(written) and written[0] != written[1]:
            self.add_error("repeated", _("The two are not the same. Write the new one again."))
        return data


class PasswordChangeForm(NewPasswordForm):
    old_password = _password(_("Present password"))
    field_order = ("old_password", "new_password", "repeated")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.user.must_change_password:
            self.fields["old_password"].label = _("The code that you signed in with")


class TokenForm(forms.Form):
    token = _token(
        _("Code"), _("Six digits from your authenticator app, or one of your backup codes.")
    )


class EnrolForm(forms.Form):
    token = _token(_("Code from the app"), _("The six digits that the app shows now."))


class PasswordForm(forms.Form):
    password = _password(_("Password"))


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast(forms.ChoiceField, self.fields["role"])
        field.choices = [(role.value, ROLE_MEANINGS[role]) for role in roles]

    def chosen_role(self) -> Role:
        return Role(self.cleaned_data["role"])


class InviteForm(RoleForm):
    email = _email(_("E-mail"), _("The invitation is sent to it."), fill="off")
    field_order = ("email", "role")
