# SPDX-License-Identifier: AGPL-3.0-or-later
"""The forms about routes: to a customer's own mail server, and straight to the recipients'.

Through a provider: providers.py.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay import egress
from relay.forms.lines import line
from relay.models import Route, SendingDomain
from relay.routes import PRIORITY_MAX, Details
from relay.smtp.addresses import AddressError, host_name

# Past these nothing good was ever meant.
CONCURRENCY_MAX = 50
RATE_MAX = 100_000


class AnyRouteForm(forms.Form):
    """What every route has: a name, whose mail it takes, and when."""

    name = line(_("Name"), 100, _("What you call it, such as “Our Exchange”."))
    domain = forms.ModelChoiceField(
        label=_("Serves"),
        queryset=SendingDomain.objects.none(),
        required=False,
        empty_label=_("All your domains"),
        help_text=_("A route for one domain comes before those for all of them."),
    )
    priority = forms.IntegerField(
        label=_("Order"),
        min_value=1,
        max_value=PRIORITY_MAX,
        initial=10,
        help_text=_("The lowest number is used; the next one while the first is paused."),
    )
    takes_over = forms.BooleanField(
        label=_("Takes over while the routes before it rest"),
        initial=True,
        required=False,
        help_text=_(
            "A route rests when its server does not answer. Without this its mail waits for it."
        ),
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
        self._route = route
        domains = SendingDomain.objects.for_organisation(organisation_id).order_by("name")
        cast("forms.ModelChoiceField[SendingDomain]", self.fields["domain"]).queryset = domains


class RouteForm(AnyRouteForm):
    """A route by SMTP."""

    kind = Route.Kind.OWN

    def details(self) -> Details:
        return Details(kind=self.kind, **self.cleaned_data)


class DirectForm(RouteForm):
    """Delivery straight to the mail servers of the recipients."""

    kind = Route.Kind.DIRECT
    field_order = ("name", "security")

    security = forms.ChoiceField(
        label=_("Encryption"),
        choices=[
            (Route.Security.OPPORTUNISTIC, _("when the recipient's server offers it")),
            (Route.Security.STARTTLS, _("always, with a checked certificate")),
        ],
        initial=Route.Security.OPPORTUNISTIC,
        help_text=_(
            "Many servers cannot be checked, and their mail would wait until its time is up. What"
            " the recipient's domain demands (MTA-STS) is kept to either way."
        ),
        widget=forms.RadioSelect,
    )


class OwnForm(RouteForm):
    """How to reach an organisation's own mail server; the secret goes in and never comes out."""

    field_order = ("name", "host", "port", "security", "username", "secret")

    host = line(
        _("Server"),
        253,
        _("The name that stands on its certificate, such as “mail.company.example”."),
        inputmode="url",
    )
    port = forms.IntegerField(
        label=_("Port"),
        min_value=1,
        max_value=65535,
        initial=587,
        help_text=_("587 with STARTTLS and 465 with TLS are usual for a server one signs in to."),
    )
    security = forms.ChoiceField(
        label=_("Encryption"),
        choices=Route.Security.choices,
        initial=Route.Security.STARTTLS,
        help_text=_("With the two upper ones mail never travels in clear or to a false server."),
        widget=forms.RadioSelect,
    )
    username = line(
        _("User name"),
        200,
        _("Leave it empty if the server asks for none."),
        required=False,
    )
    secret = forms.CharField(
        label=_("Secret"),
        max_length=500,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    concurrency = forms.IntegerField(
        label=_("Connections at once"),
        min_value=1,
        max_value=CONCURRENCY_MAX,
        initial=10,
        help_text=_("So many at most; ask whoever runs the server what it bears."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = self._route is not None and bool(self._route.sealed_secret)
        self.fields["secret"].help_text = (
            _("One is kept and never shown. Leave this empty to keep it.")
            if kept
            else _("Kept sealed and never shown again, not to you either.")
        )

    def clean_host(self) -> str:
        """A host name as its A-label, or a literal address; whether it may be reached is not said.

        The egress guard answers that when a connection is made, the same for every refused name.
        """
        text = cast(str, self.cleaned_data["host"]).rstrip(".").lower()
        try:
            return str(ip_address(text))
        except ValueError:
            pass
        try:
            return host_name(text)
        except AddressError:
            raise ValidationError(
                _(
                    "That is not a server name. Write it like “mail.company.example”, without a"
                    " port."
                )
            ) from None

    def clean_port(self) -> int:
        port = cast(int, self.cleaned_data["port"])
        if port not in egress.PORTS | set(settings.RELAY_EGRESS_LOOPBACK_PORTS):
            raise ValidationError(
                _("Mail is handed over on port 25, 465, 587 or 2525 only. Choose one of them.")
            )
        return port

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        checked = (Route.Security.TLS, Route.Security.STARTTLS)
        if data.get("username") and data.get("security") and data["security"] not in checked:
            self.add_error(
                "security",
                _(
                    "A user name and secret are sent over a checked connection only. Choose one of"
                    " the two upper ones, or leave the user name empty."
                ),
            )
        if data.get("secret") and not data.get("username"):
            self.add_error("username", _("A secret needs the user name that it belongs to."))
        return data
