# SPDX-License-Identifier: AGPL-3.0-or-later
"""Faults that are planted to see whether the storm catches them; the product has no such switch.

A directory in front of PYTHONPATH holds a `sitecustomize` that alters modules as they are loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

DIRECTORY = Path(__file__).parent / "planted"
VARIABLE = "STORM_FAULTS"
# The look-up of a provider's name, which is the system's, is asked of the storm.
NAMES = "system-names"
# No faults: they spare a short run the minutes that a lease and a look at the heartbeat last, and
# give mail that says so something to choke on.
AIDS = ("short-lease", "quick-watch", "poison", NAMES)
FAULTS = (
    "ack-before-commit",
    "no-lease-expiry",
    "delete-before-send",
    "retry-at-once",
    "no-quarantine",
    "mute-alerts",
    "hasty-stop",
    "any-route",
    "sandbox-leaves",
    "names-end-mail",
)


def planting(faults: Sequence[str]) -> dict[str, str]:
    """The environment that plants these faults in every Python process started under it."""
    if not faults:
        return {}
    return {"PYTHONPATH": str(DIRECTORY), VARIABLE: ",".join(faults)}
