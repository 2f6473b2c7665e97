# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one form in which a person's e-mail address is kept, looked up and counted."""

from __future__ import annotations


def normalised(email: str) -> str:
    """Return an address as the name to sign in with: trimmed, in lower case.

    The database's own lower() may know ASCII alone (the C locale): it is never given capitals.
    """
    return email.strip().lower()
