# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whoever runs the service finds every setting explained in .env.example."""

from __future__ import annotations

import re

from config.settings import BASE_DIR, DATABASE_VARIABLES
from config.stack.ports import PORTS


def _documented():
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    return {found[1] for line in lines if (found := re.match(r"#?([A-Z][A-Z0-9_]*)=", line))}


def _read():
    source = (BASE_DIR / "config" / "settings.py").read_text()
    return set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z][A-Z0-9_]*)"', source))


def test_every_setting_is_in_the_example_and_nothing_else():
    assert _read(), "no setting found: the pattern no longer fits settings.py"
    assert _documented() == _read() | set(DATABASE_VARIABLES.values()) | set(PORTS)
