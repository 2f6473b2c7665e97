# SPDX-License-Identifier: AGPL-3.0-or-later
"""The countries of the European Economic Area, by ISO 3166 code."""

from __future__ import annotations

# The European Union, Iceland, Liechtenstein and Norway (EEA Agreement, article 126).
_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRIES = frozenset([*_UNION.split(), "IS", "LI", "NO"])
