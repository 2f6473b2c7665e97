# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about a credential: what it is for, and what it may."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from relay.credentials import USUAL, CredentialBounds
from relay.egress import is_allowed
from relay.forms.lines import line
from relay.models import Credential
from relay.smtp.addresses import AddressError, host_name, within
from relay.smtp.networks import Network, network

# Past these nothing good was ever meant.
RATE_MAX = 6_000
DAILY_MAX = 1_000_000
RECIPIENTS_MAX = 10_000_000
NETWORKS_MAX = DOMAINS_MAX = 50
# A wider network than these is not one organisation's alone: no secret may be left out there.
NARROWEST_IPV4, NARROWEST_IPV6 = 24, 48
_BETWEEN = re.compile(r"[\s,;]+")


def _figure(label: Any, most: int, why: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label, min_value=1, max_value=most, required=False, help_text=why
    )


def _lines(label: Any, why: Any) -> forms.CharField:
    plain = {"rows": 3, "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
    return forms.CharField(
        label=label,
        max_length=5_000,
        required=False,
        help_text=why,
        widget=forms.Textarea(attrs=plain),
    )


class CredentialForm(forms.Form):
    name = line(
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


class CredentialBoundsForm(forms.Form):
    """An empty figure stands for the usual one; an empty list for no bound."""

    rate_per_minute = _figure(
        _("Messages a minute"),
        RATE_MAX,
        format_lazy(
            _(
                "What is above that is put off, and the program sends it again by itself. Leave it"
                " empty for the usual {usual}."
            ),
            usual=USUAL.rate_per_minute,
        ),
    )
    daily_cap = _figure(
        _("Messages a day"),
        DAILY_MAX,
        format_lazy(
            _("Days are those of UTC. Leave it empty for the usual {usual}."),
            usual=USUAL.daily_cap,
        ),
    )
    recipients_a_day = _figure(
        _("Recipients a day"), RECIPIENTS_MAX, _("Leave it empty to count messages only.")
    )
    networks = _lines(
        _("Networks"),
        _(
            "From where it may be used, one per line, such as 192.0.2.0/24 or 2001:db8::7. Leave it"
            " empty for everywhere."
        ),
    )
    by_network = forms.BooleanField(
        label=_("No secret is needed from these networks"),
        required=False,
        help_text=_(
            "For devices that cannot sign in. Whoever sends from there sends in your name, over TLS"
            " all the same, from your verified domains. When two of your credentials name the same"
            " network for the same domain, neither works without a secret."
        ),
    )
    domains = _lines(
        _("Domains"),
        _(
            "Which of your verified domains it may send from, one per line; names below them are"
            " covered as well. Leave it empty for all."
        ),
    )

    def __init__(self, *args: Any, proven: frozenset[str], **kwargs: Any) -> None:
        """`proven`: the organisation's domains, as A-labels."""
        super().__init__(*args, **kwargs)
        self._proven = proven

    def clean_networks(self) -> list[str]:
        return [str(found) for found in self._each("networks", _network, NETWORKS_MAX)]

    def clean_domains(self) -> list[str]:
        return self._each("domains", self._own_domain, DOMAINS_MAX)

    def _each(self, name: str, read: Callable[[str], Any], most: int) -> list[Any]:
        """Read each entry of a list once, in the order given."""
        entries = [entry for entry in _BETWEEN.split(self.cleaned_data[name]) if entry]
        if len(entries) > most:
            raise ValidationError(gettext("At most %(most)d can be named.") % {"most": most})
        return list(dict.fromkeys(map(read, entries)))

    def _own_domain(self, text: str) -> str:
        try:
            name = host_name(text.lower().rstrip("."))
        except AddressError:
            name = ""
        if not within(name, self._proven):
            raise ValidationError(
                gettext("“%(text)s” is none of your verified domains.") % {"text": text}
            )
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("by_network") and "networks" in data:
            named = [network(text) for text in data["networks"]]
            if not named:
                self.add_error("networks", _("Name the networks from where no secret is needed."))
            if any(map(_is_wide, named)):
                self.add_error(
                    "networks",
                    _(
                        "Without a secret a network may be no wider than /24, or /48 of IPv6:"
                        " others would be in it as well."
                    ),
                )
            if any(map(_is_inner, named)):
                self.add_error(
                    "networks",
                    _(
                        "Without a secret a network must be one of the public internet, as the"
                        " server sees it: inner ones, such as 10.0.0.0/24, many others have too."
                    ),
                )
        return data

    def bounds(self) -> CredentialBounds:
        """Return what was asked for, the usual figures where nothing was."""
        given = {name: value for name, value in self.cleaned_data.items() if value is not None}
        return CredentialBounds(**given)


def _network(text: str) -> Network:
    try:
        found = network(text)
    except ValueError:
        found = None
    # A zone is known on one machine only.
    if found is None or "%" in text:
        message = gettext("“%(text)s” is no network. Write it like 192.0.2.0/24 or 192.0.2.7.")
        raise ValidationError(message % {"text": text})
    return found


def _is_wide(found: Network) -> bool:
    return found.prefixlen < (NARROWEST_IPV4 if found.version == 4 else NARROWEST_IPV6)


def _is_inner(found: Network) -> bool:
    """Whether it is no public network; development has no others."""
    first = str(found.network_address)
    return not settings.RELAY_DEVELOPMENT_DOMAINS and not is_allowed(first)


def written(bounds: CredentialBounds) -> dict[str, Any]:
    """Return the form's fields for what a credential may now."""
    lists = {"networks": "\n".join(bounds.networks), "domains": "\n".join(bounds.domains)}
    return bounds.as_fields() | lists
