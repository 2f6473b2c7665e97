# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes at the end of a right, however it ends: what it was needed for is over."""

from __future__ import annotations

from gdpr import packages
from gdpr.models import Correction, RequestedRight


def clear(row: RequestedRight) -> None:
    """Take back a package that is not ready, and empty what was to be corrected.

    Roles `web` and `staff`.
    """
    packages.cancel(row)
    for correction in Correction.objects.filter(right=row):
        correction.forget()
