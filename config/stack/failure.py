# SPDX-License-Identifier: AGPL-3.0-or-later
"""How the launcher says that it cannot go on."""

from __future__ import annotations


class StackError(Exception):
    """What went wrong and what to do about it, in words for the person at the terminal."""
