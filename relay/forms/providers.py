# SPDX-License-Identifier: AGPL-3.0-or-later
"""The form about a customer's account at a provider."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay.esp.providers import PROVIDERS
from relay.espaccounts import AccountDetails
from relay.forms.lines import line
from relay.forms.routes import CONCURRENCY_MAX, AnyRouteForm
from relay.smtp.addresses import AddressError, host_name


def _key(label: Any, *, required: bool, why: Any = "") -> Any:
    widget = forms.PasswordInput(attrs={"autocomplete": "off"})
    return forms.CharField(
        label=label, max_length=500, required=required, help_text=why, widget=widget
    )


class ProviderForm(AnyRouteForm):
    """Which account at which provider; its keys go in and never come out."""

    field_order = (
        *("name", "provider", "outside_eea", "provider_domain", "username", "secret", "signing"),
        *("domain", "priority", "takes_over", "concurrency"),
    )

    name = line(_("Name"), 100, _("What you call it, such as “Our Mailjet”."))
    provider = forms.ChoiceField(
        label=_("Provider"),
        choices=[(provider.name, provider.title) for provider in PROVIDERS.values()],
        help_text=_(
            "The account is your own: the provider is your processor, and you have an agreement"
            " with it."
        ),
    )
    outside_eea = forms.BooleanField(
        label=_("Hand mail over outside the EEA"),
        required=False,
        help_text=_(
            "Needed for providers that work from the United States. It is recorded as your"
            " instruction; the grounds for the transfer are yours to see to."
        ),
    )
    provider_domain = line(
        _("Domain at the provider"),
        253,
        _("Mailgun only: the domain that you send from there."),
        required=False,
        inputmode="url",
    )
    username = line(
        _("Public key"),
        200,
        _("Mailjet only: the half of the key that is no secret."),
        required=False,
    )
    secret = _key(_("Secret key"), required=False)
    signing = _key(
        _("Key for signatures"),
        required=False,
        why=_("Mailgun only, and not needed: with it, reports are believed only when signed."),
    )
    concurrency = forms.IntegerField(
        label=_("Calls at once"), min_value=1, max_value=CONCURRENCY_MAX, initial=10
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A further processor takes mail over only where somebody says so.
        self.fields["takes_over"].initial = False
        self.fields["secret"].help_text = (
            _("One is kept and never shown. Leave this empty to keep it.")
            if self._route is not None
            else _("Kept sealed and never shown again, not to you either.")
        )
        self.fields["secret"].required = self._route is None
        # One provider needs it, and the others do not: its help says so, not "optional".
        for name in ("provider_domain", "username"):
            cast(Any, self.fields[name]).is_conditional = True

    def clean_secret(self) -> str:
        return self._plain("secret")

    def clean_signing(self) -> str:
        return self._plain("signing")

    def _plain(self, name: str) -> str:
        key = cast(str, self.cleaned_data[name])
        if not (key.isascii() and key.isprintable()):
            raise ValidationError(_("A key holds no such characters. Copy it once more."))
        return key

    def clean_provider_domain(self) -> str:
        text = cast(str, self.cleaned_data["provider_domain"])
        try:
            return host_name(text.rstrip(".").lower()) if text else ""
        except AddressError:
            raise ValidationError(
                _("That is not a domain. Write it like “mail.company.example”.")
            ) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        provider = PROVIDERS.get(data.get("provider", ""))
        if provider is None:
            return data
        for name, needed in (
            ("provider_domain", provider.needs_domain),
            ("username", provider.needs_username),
        ):
            if needed and not data.get(name) and name not in self.errors:
                self.add_error(name, _("This provider needs it."))
            elif not needed:
                data[name] = ""
        if not provider.signs_events:
            data["signing"] = ""
        if not provider.in_eea and not data.get("outside_eea"):
            self.add_error(
                "outside_eea",
                _("This provider works outside the EEA. Tick this if that is your instruction."),
            )
        return data

    def details(self) -> AccountDetails:
        given = {name: value for name, value in self.cleaned_data.items() if name != "outside_eea"}
        return AccountDetails(**given)
