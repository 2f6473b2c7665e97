# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the demo's steps share: what they know of each other, and how they wait and fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from config.demo.portal import Portal

Found = TypeVar("Found")
PATIENCE = 60.0  # seconds for what happens behind the scenes


class StepFailed(Exception):
    """A step did not hold; says what was seen."""


@dataclass(slots=True)
class Journey:
    """What the steps know of each other. `facts` is var/demo.json; paths in it are below `root`."""

    root: Path
    facts: dict[str, Any]
    message_id: UUID = UUID(int=0)
    sent: bytes = field(default=b"", repr=False)
    portal: Portal | None = None  # once the owner has signed in


@dataclass(frozen=True, slots=True)
class Step:
    words: str
    act: Callable[[Journey], None]


def wait(look: Callable[[], Found]) -> Found:
    """Look until something is there or PATIENCE ends; return what was seen last."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
