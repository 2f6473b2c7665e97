# SPDX-License-Identifier: AGPL-3.0-or-later
"""A line of text as every form here has it."""

from __future__ import annotations

from typing import Any

from django import forms


def line(label: Any, length: int, why: Any = "", *, required: bool = True, **attrs: str) -> Any:
    """A line of text that a browser must neither fill in nor correct."""
    plain = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"} | attrs
    widget = forms.TextInput(attrs=plain)
    return forms.CharField(
        label=label, max_length=length, help_text=why, required=required, widget=widget
    )
