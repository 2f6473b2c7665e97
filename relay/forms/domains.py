# SPDX-License-Identifier: AGPL-3.0-or-later
"""The form about a domain to send from."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from relay.forms.lines import line


class DomainForm(forms.Form):
    name = line(
        _("Domain"),
        253,
        _("What stands after “@” in your sender addresses. Names below it are covered as well."),
        inputmode="url",
    )
