# SPDX-License-Identifier: AGPL-3.0-or-later
"""What an attempt's marks mean, in words for people."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from relay.models import Attempt, Report, Route
from relay.smtp.replies import Scope
from relay.smtp.tls import TlsDemand, TlsResult

DEMANDS: dict[str, str | Promise] = {
    TlsDemand.NONE: _("not asked for by the route"),
    TlsDemand.MAY: _("asked for where the server offers it"),
    TlsDemand.MUST: _("demanded by the route, with a checked certificate"),
    TlsDemand.STS: _("demanded by the recipient’s domain (MTA-STS), with a checked certificate"),
    TlsDemand.STS_TESTING: _("the recipient’s domain tests its demand (MTA-STS)"),
    TlsDemand.MESSAGE: _("demanded by the mail itself, with a checked certificate"),
}
# Where nothing protected the connection, also one that carried no mail.
IN_CLEAR: dict[str, str | Promise] = {
    TlsResult.PLAIN: _("in clear: encryption was not asked for"),
    TlsResult.NOT_OFFERED: _("in clear: the server offered no encryption"),
    TlsResult.FAILED: _("in clear: encryption failed"),
}
NOT_SENT: dict[str, str | Promise] = {
    TlsResult.PLAIN: _("in clear: encryption was not asked for"),
    TlsResult.NOT_OFFERED: _("the server offered no encryption"),
    TlsResult.FAILED: _("encryption failed"),
}
ABOUT: dict[str, str | Promise] = {
    Scope.RECIPIENT: _("about the recipient’s mailbox"),
    Scope.POLICY: _("about the mail or its sender, not about the address"),
    Scope.INFRASTRUCTURE: _("about the servers or the way to them, not about the address"),
    Scope.ROUTE: _("about your route, not about the address"),
}
FOR_GOOD = _("about the address: it takes no mail")


def demand(attempt: Attempt) -> str:
    """Return what was asked of the channel; '' where nothing is known."""
    return str(DEMANDS.get(attempt.tls_demand, ""))


def unprotected(attempt: Attempt) -> str:
    """Return why there was no encryption; '' where there was, or nothing is known of it."""
    if attempt.tls_version:
        return ""
    words = IN_CLEAR if attempt.verdict == Attempt.Verdict.DELIVERED else NOT_SENT
    return str(words.get(attempt.tls_result, ""))


def about(told: Attempt | Report) -> str:
    """Return what a refusal was about; '' for what was none."""
    if told.scope == Scope.RECIPIENT and told.is_hard:
        return str(FOR_GOOD)
    return str(ABOUT.get(told.scope, ""))


def kind(attempt: Attempt) -> str:
    """Return what kind of route it went by; '' where none is known."""
    return str(Route.Kind(attempt.kind).label) if attempt.kind else ""
