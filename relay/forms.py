# SPDX-License-Identifier: AGPL-3.0-or-later
"""Forms about credentials, domains, routes and the log. None needs a script."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


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


class DomainForm(forms.Form):
    name = _line(
        _("Domain"),
        253,
        _("What stands after “@” in your sender addresses. Names below it are covered as well."),
        inputmode="url",
    )
