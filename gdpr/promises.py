# SPDX-License-Identifier: AGPL-3.0-or-later
"""The promises about personal data, each with the control that keeps it and a live check."""

from __future__ import annotations

from accounts.promise import Promise, Result
from gdpr import checks
from gdpr.inventory import ENTRIES, STORES


def everything_is_classified() -> Result:
    faults = list(checks.faults(ENTRIES, STORES))
    seen = "; ".join(str(fault.msg) for fault in faults[:3])
    return Result(holds=not faults, seen=seen or f"{len(ENTRIES)} tables, {len(STORES)} stores")


PROMISES: tuple[Promise, ...] = (
    Promise(
        id="G2a",
        words="Only the data that the inventory names are kept.",
        control="gdpr.checks, before any process starts",
        switched_off_by="take an entry out of gdpr.inventory",
        check=everything_is_classified,
    ),
)
