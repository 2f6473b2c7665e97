# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about credentials, domains, routes and the log. None needs a script."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay import egress
from relay.domains import NotADomain
from relay.models import Credential, Delivery, Quota, Route, SendingDomain
from relay.reasons import WORDS
from relay.releasing import Because
from relay.routes import Details
from relay.search import Search
from relay.smtp.addresses import AddressError, host_name, parse_domain
from relay.waitlist import Wanted

# Past these nothing good was ever meant.
PRIORITY_MAX = 1000
CONCURRENCY_MAX = 50
RATE_MAX = 100_000
BEGINNING_MIN = 3


def _line(label: Any, length: int, why: Any = "", *, required: bool = True, **attrs: str) -> Any:
    """A line of text that a browser must neither fill in nor correct."""
    plain = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"} | attrs
    widget = forms.TextInput(attrs=plain)
    return forms.CharField(
        label=label, max_length=length, help_text=why, required=required, widget=widget
    )


class CredentialForm(forms.Form):
    name = _line(
        _("Name"),
        100,
        _(
            "What it is for, such as “Web shop”. One for each program, so that you can revoke one"
            " alone."
        ),
    )
    mode = forms.ChoiceField(
        label=_("Mode"),
        choices=[
            (Credential.Mode.LIVE, _("Live: mail goes to its recipients")),
            (Credential.Mode.SANDBOX, _("Sandbox: mail is checked and logged, nobody receives it")),
        ],
        help_text=_(
            "Until you may send, only the sandbox takes mail. The mode stays: to go live, make"
            " another credential."
        ),
        widget=forms.RadioSelect,
    )


class DomainForm(forms.Form):
    name = _line(
        _("Domain"),
        253,
        _("What stands after “@” in your sender addresses. Names below it are covered as well."),
        inputmode="url",
    )


class RouteForm(forms.Form):
    """How to reach an organisation's own mail server; the secret goes in and never comes out."""

    name = _line(_("Name"), 100, _("What you call it, such as “Our Exchange”."))
    host = _line(
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
    username = _line(
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
        help_text=_("The lowest number is used; the next one while the first is paused or rests."),
    )
    concurrency = forms.IntegerField(
        label=_("Connections at once"),
        min_value=1,
        max_value=CONCURRENCY_MAX,
        initial=10,
        help_text=_("So many at most; ask whoever runs the server what it bears."),
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
        kept = route is not None and bool(route.sealed_secret)
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

    def details(self) -> Details:
        return Details(**self.cleaned_data)


class SearchForm(forms.Form):
    """Search in the log by what its indexes answer fast."""

    recipient = _line(
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


def _domain_line(label: Any, listed: str) -> Any:
    """A domain, with those of a list to choose from; the browser sends no address."""
    attrs = {"list": listed, "inputmode": "url", "pattern": "[^@]*"}
    return _line(label, 253, required=False, **attrs)


class WaitingForm(forms.Form):
    """Which waiting mail is shown; it stands in the address line, so it names no address."""

    to = _domain_line(_("To domain"), "destinations")
    domain = _domain_line(_("From domain"), "domains")
    why = forms.ChoiceField(
        label=_("Why"), required=False, choices=[("", _("any")), *WORDS.items()]
    )

    def clean_to(self) -> str:
        return _domain(self.cleaned_data["to"])

    def clean_domain(self) -> str:
        return _domain(self.cleaned_data["domain"])

    def wanted(self) -> Wanted:
        return Wanted(**self.cleaned_data)


def _domain(text: str) -> str:
    """Return the A-label of what stands behind the last at-sign. Raises ValidationError.

    An address has no place in an address line.
    """
    if not text:
        return ""
    try:
        return host_name(parse_domain(text.rpartition("@")[2]))
    except AddressError:
        raise ValidationError(str(NotADomain.text)) from None


class ReleaseForm(forms.Form):
    """Why staff let mail go that this service set aside."""

    because = forms.ChoiceField(
        label=_("It is tried again, because"), choices=Because.choices, widget=forms.RadioSelect
    )


class QuotaForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    class Meta:
        model = Quota
        fields = ("organisation", "messages_an_hour", "messages_a_day")
        help_texts = {
            "messages_an_hour": _("What is above it is accepted and waits. Empty: no limit."),
            "messages_a_day": _("Counted beside the one above. Empty: no limit."),
        }
