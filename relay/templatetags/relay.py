# SPDX-License-Identifier: AGPL-3.0-or-later
"""Template tags of the pages about mail."""

from __future__ import annotations

from datetime import timedelta

import idna
from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts import clock, masking
from relay import timelinewords, verification
from relay.models import Route, messages
from relay.smtp.replies import Stage

register = template.Library()
register.filter("tls_demand", timelinewords.demand)
register.filter("unprotected", timelinewords.unprotected)
register.filter("about", timelinewords.about)
register.filter("route_kind", timelinewords.kind)


@register.simple_tag
def log_days() -> int:
    """Return how many days the log goes back."""
    return messages.LOG_DAYS


@register.simple_tag
def proof_hours() -> int:
    """Return how many hours a domain is its owner's after the proof was last seen."""
    return verification.GRACE // timedelta(hours=1)


@register.simple_tag
def address(text: str, masked: bool) -> SafeString:
    """Return an address as this person may see it; a long one breaks after its at-sign."""
    local, at, domain = (masking.masked(text) if masked else text).rpartition("@")
    return format_html("{}{}<wbr>{}", local, at, domain) if at else escape(domain)


@register.filter
def rests(route: Route) -> bool:
    """Return whether the route's server is left alone now, because it did not answer."""
    return route.rests(clock.now())


@register.filter
def answers(route: Route) -> bool:
    """Return whether the route's server was ready for mail when it was tried last."""
    worked, failed = route.worked_at, route.failed_at
    return worked is not None and (failed is None or worked > failed)


# Where a dialogue with a server ended.
_STAGES = {
    Stage.CONNECT: _("while connecting"),
    Stage.GREETING: _("while waiting for its greeting"),
    Stage.EHLO: _("after saying hello"),
    Stage.STARTTLS: _("while encrypting"),
    Stage.AUTH: _("while signing in"),
    Stage.MAIL: _("when it was told the sender"),
    Stage.RCPT: _("when it was told a recipient"),
    Stage.DATA: _("before the content"),
    Stage.DOT: _("after the content"),
}


@register.filter
def in_words(stage: str) -> str:
    """Return what was going on at this stage of a dialogue."""
    return str(_STAGES[Stage(stage)]) if stage else ""


@register.filter
def readable(name: str) -> str:
    """Return a domain as its owner writes it; the A-label where it is no valid IDNA."""
    try:
        return idna.decode(name)
    except idna.IDNAError:
        return name
