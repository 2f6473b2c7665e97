# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults that are planted to see whether the storm catches them; the product has no such switch.

A directory in front of PYTHONPATH holds a `sitecustomize` that alters modules as they are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

DIRECTORY = Path(__file__).parent / "planted"
VARIABLE = "STORM_FAULTS"
# short-lease is no fault: it spares a short run the minute that a real lease lasts.
FAULTS = ("ack-before-commit", "no-lease-expiry", "delete-before-send", "short-lease")


def planting(faults: Sequence[str]) -> dict[str, str]:
    """The environment that plants these faults in every Python process started under it."""
    if not faults:
        return {}
    return {"PYTHONPATH": str(DIRECTORY), VARIABLE: ",".join(faults)}
