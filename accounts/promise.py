# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a promise to customers is in code: words, the control that keeps it, and a live check.

Each app lists its own in `promises.py` as PROMISES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise as LazyText


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Whether a promise holds now, and what was seen: figures and names, nothing of a person."""

    holds: bool
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A numbered promise. `check` looks at the running system as role `duty`.

    `switched_off_by` says what a test does to see the check turn red.
    """

    id: str
    words: str | LazyText
    control: str
    switched_off_by: str
    check: Callable[[], Result]
