# SPDX-License-Identifier: AGPL-3.0-or-later
"""The form about a customer's account at a provider."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay.esp.providers import PROVIDERS
from relay.espaccounts import AccountDetails
from relay.forms.lines import line
from relay.forms.routes import CONCURRENCY_MAX, RATE_MAX
from relay.models import Route, SendingDomain
from relay.routes import PRIORITY_MAX
from relay.smtp.addresses import AddressError, host_name


def _key(label: Any, *, required: bool, why: Any = "") -> Any:
    widget = forms.PasswordInput(attrs={"autocomplete": "off"})
    return forms.CharField(
        label=label, max_length=500, required=required, help_text=why, widget=widget
    )


class ProviderForm(forms.Form):
    """Which account at which provider; its keys go in and never come out."""

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
    domain = forms.ModelChoiceField(
        label=_("Serves"),
        queryset=SendingDomain.objects.none(),
        required=False,
        empty_label=_("All your domains"),
        help_text=_("A route for one domain comes before those for all of them."),
    )
    priority = forms.IntegerField(
        label=_("Order"), min_value=1, max_value=PRIORITY_MAX, initial=10,
        help_text=_("The lowest number is used; the next one while the first is paused."),
    )  # fmt: skip
    takes_over = forms.BooleanField(
        label=_("Takes over while the routes before it rest"),
        required=False,
        help_text=_(
            "A route rests when its server does not answer. Without this its mail waits for it."
        ),
    )
    concurrency = forms.IntegerField(
        label=_("Calls at once"), min_value=1, max_value=CONCURRENCY_MAX, initial=10
    )
    rate_per_minute = forms.IntegerField(
        label=_("Messages a minute"),
        min_value=1,
        max_value=RATE_MAX,
        required=False,
        help_text=_("What is above it waits for the next minute. Leave it empty for no limit."),
    )

    def __init__(
        self, *args: Any, organisation_id: UUID, route: Route | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        domains = SendingDomain.objects.for_organisation(organisation_id).order_by("name")
        cast("forms.ModelChoiceField[SendingDomain]", self.fields["domain"]).queryset = domains
        self.fields["secret"].help_text = (
            _("One is kept and never shown. Leave this empty to keep it.")
            if route is not None
            else _("Kept sealed and never shown again, not to you either.")
        )
        self.fields["secret"].required = route is None

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
