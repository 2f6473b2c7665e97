# SPDX-License-Identifier: AGPL-3.0-or-later
"""Names of countries and time zones to choose from, in the language of the request."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import available_timezones

from babel import Locale
from django.utils.translation import get_language

# Codes that the Unicode territory list has and that are no country or territory with an address.
NO_COUNTRY = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
# The first part of a zone's name that is a place; the others are old aliases and offsets.
PLACES = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/")
MORE_PLACES = ("Arctic/", "Indian/", "Pacific/")


def country_choices() -> list[tuple[str, str]]:
    """Return ISO 3166 codes and names, Denmark first and then by name."""
    return _countries(get_language() or "da")


@lru_cache(maxsize=4)
def _countries(language: str) -> list[tuple[str, str]]:
    names = Locale.parse(language).territories
    codes = [code for code in names if len(code) == 2 and code not in NO_COUNTRY]
    ordered = sorted(codes, key=lambda code: (code != "DK", names[code]))
    return [(code, names[code]) for code in ordered]


def country_name(code: str, language: str) -> str:
    """Return what a country is called in a language; its code where nobody has named it."""
    return str(Locale.parse(language).territories.get(code, code))


@lru_cache(maxsize=1)
def time_zone_choices() -> list[tuple[str, str]]:
    """Return the zones of the tz database that are named after a place, and UTC."""
    zones = sorted(z for z in available_timezones() if z.startswith(PLACES + MORE_PLACES))
    return [(zone, zone.replace("_", " ")) for zone in [*zones, "UTC"]]
