# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which waiting mail is shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from relay.domains import NotADomain
from relay.forms.lines import line
from relay.reasons import WORDS
from relay.smtp.addresses import AddressError, host_name, parse_domain
from relay.waitlist import Wanted


def _domain_line(label: Any, listed: str) -> Any:
    """A domain, with those of a list to choose from; the browser sends no address."""
    attrs = {"list": listed, "inputmode": "url", "pattern": "[^@]*"}
    return line(label, 253, required=False, **attrs)


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
