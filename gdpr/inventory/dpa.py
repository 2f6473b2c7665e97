# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables of agreements."""

from __future__ import annotations

from gdpr.registry import Entry

ENTRIES: tuple[Entry, ...] = ()
