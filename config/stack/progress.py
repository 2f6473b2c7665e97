# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telling the terminal what happens, each step with its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Progress:
    """A clock that starts with the launcher, and lines that say what it is doing."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    @contextlib.contextmanager
    def step(self, words: str) -> Iterator[None]:
        print(f"  {words} ...", end="", flush=True)
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            print(" not finished", flush=True)
            raise
        print(f" {time.monotonic() - begun:.1f} s", flush=True)
