# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a child process may use that makes or reads documents."""

from __future__ import annotations

from accounts import bounded

SECONDS = 20
# How long the parent waits for a child that stands still, which SECONDS do not end. The work is all
# computing, and may take its time on a busy machine; the lease of a package lasts longer.
PATIENCE = 7 * SECONDS
MEBIBYTES = 512


def bound() -> None:
    """Bound this process; see accounts/bounded.py."""
    bounded.bound(seconds=SECONDS, mebibytes=MEBIBYTES)
