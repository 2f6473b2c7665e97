# SPDX-License-Identifier: AGPL-3.0-or-later
"""When a domain whose servers take no more connections is asked again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

SHORTEST = timedelta(seconds=10)
LONGEST = timedelta(minutes=5)
# Where all connections are other processes', which may be done with them any moment.
ELSEWHERE = timedelta(seconds=2)


@dataclass(slots=True)
class _Since:
    until: datetime
    doublings: int = 0
    has_moved: bool = False  # whether a server has answered since


class Busy:
    """The domains that this process found busy; longer each time, while nothing moves there."""

    def __init__(self) -> None:
        self._known: dict[str, _Since] = {}

    def until(self, name: str, now: datetime) -> datetime:
        """Return when to ask a domain again, where this process has connections itself."""
        since = self._known.get(name)
        if since is not None and now < since.until:
            return since.until
        doublings = 0 if since is None or since.has_moved else since.doublings + 1
        until = now + min(SHORTEST * (1 << min(doublings, 10)), LONGEST)
        self._known = {one: it for one, it in self._known.items() if it.until > now - LONGEST}
        self._known[name] = _Since(until, doublings)
        return until

    def moved(self, name: str) -> None:
        """Note that a server of a domain has answered."""
        if since := self._known.get(name):
            since.has_moved = True
