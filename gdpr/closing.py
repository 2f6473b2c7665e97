# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes at the end of a right, however it ends: what it was needed for is over."""

from __future__ import annotations

from accounts import clock
from gdpr import packages
from gdpr.models import Correction, RequestedRight
from gdpr.rights import restriction


def clear(row: RequestedRight) -> None:
    """Take back a package that is not ready, empty what was to be corrected, and have what was
    restricted meanwhile end.

    Roles `web` and `staff`.
    """
    packages.cancel(row)
    restriction.settle(row, clock.now())
    for correction in Correction.objects.filter(right=row):
        correction.forget()
