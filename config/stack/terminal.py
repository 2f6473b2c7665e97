# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the terminal that the launcher was started from is still there."""

from __future__ import annotations

import os
import select


class Terminal:
    """The terminal among the standard streams, if there is one.

    A make that leads its session gets the hang-up alone, and waits for its child, who has to look
    for itself.
    """

    def __init__(self) -> None:
        self._hung_up = select.poll()
        for stream in (0, 1, 2):
            if os.isatty(stream):
                self._hung_up.register(stream, 0)  # a hang-up is told in any case

    def is_gone(self) -> bool:
        return any(event & select.POLLHUP for _, event in self._hung_up.poll(0))
