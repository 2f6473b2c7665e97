# SPDX-License-Identifier: AGPL-3.0-or-later
"""The menu: which pages there are and which roles see them."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Role
from accounts.models.organisations import KEEPERS, READERS

EVERYONE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu; `breaks` starts a new group, `also` names pages that belong to it."""

    label: str | Promise
    url_name: str
    roles: frozenset[Role] = EVERYONE
    breaks: bool = False
    also: tuple[str, ...] = ()


ENTRIES = (
    Entry(_("Overview"), "home"),
    Entry(_("Log"), "relay:log", READERS),
    Entry(_("Waiting mail"), "relay:waiting", READERS),
    Entry(_("Statistics"), "relay:statistics", READERS),
    Entry(_("Credentials"), "relay:credentials", READERS, breaks=True),
    Entry(_("Domains"), "relay:domains", READERS),
    Entry(_("Routes"), "relay:routes", READERS),
    Entry(_("Suppressions"), "relay:suppressions", READERS),
    Entry(_("Restrictions"), "relay:restrictions", KEEPERS | {Role.PRIVACY}),
    Entry(_("Agreements"), "dpa:agreements", KEEPERS | {Role.PRIVACY}, breaks=True),
    Entry(_("Requests"), "gdpr:inbox", KEEPERS | {Role.PRIVACY}),
    Entry(_("Look up an address"), "gdpr:correspondents", KEEPERS | {Role.PRIVACY}),
    Entry(_("Team"), "accounts:team", breaks=True),
    Entry(_("Organisation"), "accounts:organisation", KEEPERS),
    Entry(_("Audit trail"), "accounts:audit-trail", KEEPERS | {Role.PRIVACY}),
    Entry(_("Proof"), "proof"),
    Entry(
        _("My data"),
        "gdpr:requests",
        breaks=True,
        also=("gdpr:erasure", "gdpr:correction", "gdpr:import"),
    ),
)


@dataclass(frozen=True, slots=True)
class Line:
    label: str | Promise
    url: str
    current: bool
    breaks: bool


def menu(request: HttpRequest, role: str) -> list[Line]:
    """Return the lines that a person with this role sees, the open page marked."""
    lines = []
    for entry in ENTRIES:
        if role in entry.roles:
            current = _is_open(entry, request.path)
            lines.append(Line(entry.label, reverse(entry.url_name), current, entry.breaks))
    return lines


def _is_open(entry: Entry, path: str) -> bool:
    if entry.url_name == "home":
        return path == reverse("home")
    return any(path.startswith(reverse(name)) for name in (entry.url_name, *entry.also))
