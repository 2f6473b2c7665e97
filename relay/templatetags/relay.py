# SPDX-License-Identifier: AGPL-3.0-or-later
"""Template tags of the pages about mail."""

from __future__ import annotations

from django import template

from accounts import masking

register = template.Library()


@register.simple_tag
def address(text: str, masked: bool) -> str:
    """Return an address as this person may see it."""
    return masking.masked(text) if masked else text
