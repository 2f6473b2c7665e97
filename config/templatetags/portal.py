# SPDX-License-Identifier: AGPL-3.0-or-later
"""Template tags of the portal: times in the person's zone, states in words and colour."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# Values of the models' state and verdict fields; what is missing here is neutral.
_TONES = {
    "delivered": "good",
    "verified": "good",
    "good": "good",
    "in_force": "good",
    "offered": "wait",
    "signed": "wait",
    "waiting": "wait",
    "pending": "wait",
    "retry": "wait",
    "unpaid": "wait",
    "bounced": "bad",
    "expired": "bad",
    "failing": "bad",
    "suspended": "bad",
    "done": "good",
    "received": "wait",
    "identity": "wait",
    "assess": "wait",
    "paused": "wait",
    "act": "wait",
    "new": "wait",
    "taken": "wait",
    "answered": "good",
    "found": "good",
    "signs": "good",
    "missing": "wait",
    "unreachable": "wait",
    "weak": "wait",
    "wrong": "bad",
    "several": "bad",
    "partly_done": "bad",
    "refused": "bad",
    "not_identifiable": "bad",
}


@register.filter
def when(value: datetime | None) -> str | SafeString:
    """Return a time in the current zone, with the exact UTC instant for machines and on hover."""
    if value is None:
        return "–"
    exact = value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = date_format(timezone.localtime(value), "SHORT_DATETIME_FORMAT")
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', exact, shown)


@register.simple_tag
def state(value: str, label: str) -> SafeString:
    """Return a state as a pill; the words carry the meaning, the colour repeats it."""
    tone = _TONES.get(value, "")
    return format_html('<span class="state{}">{}</span>', f" state-{tone}" if tone else "", label)
