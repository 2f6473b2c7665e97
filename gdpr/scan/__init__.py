# SPDX-License-Identifier: AGPL-3.0-or-later
"""The independent look for what an erasure left: every column, Redis, every file. Role `duty`.

It walks the database's own catalogue and knows nothing of the inventory or the erasers, so a
field that they forgot is found all the same. It returns places and counts, never a value.
"""

from __future__ import annotations

from gdpr.scan.everywhere import Scan, scan
from gdpr.scan.needles import Finding, Kind, ScanIncomplete, Sought
from gdpr.scan.tables import Rows, Within, there

__all__ = [
    "Finding",
    "Kind",
    "Rows",
    "Scan",
    "ScanIncomplete",
    "Sought",
    "Within",
    "scan",
    "there",
]
