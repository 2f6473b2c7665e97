# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose mail a shift takes next, and how much of it. Counts; does nothing.

An organisation may have half as many deliveries in hand as places are free, a turn (one of its
domains) a quarter. So whoever is alone has enough for every connection, and however many fill
their share behind silent servers, places stay free for one that comes new.

A turn whose mail came back, because its next hop takes no more, is left out for a while. After
that it may have as many in hand as found a connection, or one, and one more for each that ends.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from uuid import UUID

from relay.queue import Ask, Claimed

Turn = tuple[UUID, str]
Key = TypeVar("Key")

PLACES = 1000
NAMED_MOST = 50  # beyond that a look at everybody costs no more
CLAIM_MOST = 200
# Mail of a turn that may be taken is taken within a round or a few; then none of it is due.
IDLE_SECONDS = 10.0
FIRST = UUID(int=0)


@dataclass(slots=True)
class _Window:
    """How many deliveries of a turn may be in hand, and from when on."""

    most: int
    opens_at: float


class Turns:
    """What one shift has in hand, by organisation and by turn."""

    def __init__(
        self,
        chance: Callable[[], float],
        places: int = PLACES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`chance` gives floats in [0, 1); `places`: deliveries in hand at once."""
        self._chance = chance
        self._clock = clock
        self._windows: dict[Turn, _Window] = {}
        self._free = places
        self._organisations: Counter[UUID] = Counter()
        self._turns: Counter[Turn] = Counter()
        self._hungry: set[Turn] = set()
        self._called: set[UUID] = set()
        self._asked: frozenset[UUID] = frozenset()  # of the last claim; of nobody in particular
        self._before: frozenset[UUID] = frozenset()  # who had been called when it was asked
        self._full: frozenset[Turn] = frozenset()  # hungry, but without room when it was asked
        self._shut: dict[Turn, None] = {}  # in the order in which they are looked at
        self._after = FIRST
        self._resume: dict[UUID, str] = {}
        self._most = CLAIM_MOST
        self.goes_on = False  # whether the next claim should follow at once

    def begin(self, turn: Turn, count: int) -> None:
        """Take deliveries in hand."""
        self._free -= count
        self._organisations[turn[0]] += count
        self._turns[turn] += count

    def end(self, turn: Turn, count: int) -> bool:
        """Let deliveries go; returns whether it is time to claim again."""
        self._let_go(turn, count)
        if window := self._windows.get(turn):
            window.most += count
            if window.most >= CLAIM_MOST and window.opens_at <= self._clock():
                del self._windows[turn]
        return turn in self._hungry and self._has_room(turn)

    def put_back(self, turn: Turn, count: int, seconds: float) -> None:
        """Let deliveries go that nothing could be tried with; ask for none for so long."""
        self._let_go(turn, count)
        in_hand = max(1, self._turns[turn])
        window = self._windows.get(turn)
        most = min(in_hand, window.most) if window else in_hand
        self._windows[turn] = _Window(most, self._clock() + seconds)
        if seconds:
            self._hungry.add(turn)  # what came back is due

    def _let_go(self, turn: Turn, count: int) -> None:
        self._free += count
        _lessen(self._organisations, turn[0], count)
        _lessen(self._turns, turn, count)

    def call(self, organisations: Collection[UUID]) -> None:
        """Note whose mail has come in."""
        self._called.update(organisations)

    @property
    def in_round(self) -> bool:
        """Whether the look at everybody has not come to the last one."""
        return self._after != FIRST

    def ask(self) -> Ask | None:
        """Return what to claim now of everybody, None when no place is free."""
        self._asked = frozenset()
        return self._ask()

    def ask_known(self) -> Ask | None:
        """Return what to claim of those who are known to have mail; None also without any."""
        known = self._called | self._resume.keys()
        known |= {turn[0] for turn in self._hungry if self._room(turn)}
        if len(known) > NAMED_MOST:
            return self.ask()
        self._asked = frozenset(known)
        return self._ask() if known else None

    def _ask(self) -> Ask | None:
        if self._free <= 0:
            return None
        self._before = frozenset(self._called)
        self._full = frozenset(turn for turn in self._hungry if self._room(turn) <= 0)
        self._forget_idle()
        return Ask(
            # Half at most: many may come at once, each with the room that all of them see.
            limit=min(self._most, (self._free + 1) // 2),
            fresh=self._organisation_room(0),
            fresh_turn=self._turn_room(0),
            rooms=tuple(
                (organisation, self._organisation_room(n))
                for organisation, n in self._organisations.items()
            ),
            turns=tuple(
                (*turn, min(self._turn_room(self._turns[turn]), self._window_room(turn) or PLACES))
                for turn in {**self._turns, **self._windows}
            ),
            left_out=tuple(self._left_out()),
            after=self._after,
            named=tuple(self._asked),
            resume=tuple(self._resume.items()),
            chance=self._chance(),
        )

    def _forget_idle(self) -> None:
        # A claim goes through all windows for each turn it looks at.
        since = self._clock() - IDLE_SECONDS
        for turn, window in list(self._windows.items()):
            if window.opens_at <= since and not self._turns[turn]:
                del self._windows[turn]

    def _left_out(self) -> dict[Turn, None]:
        full = [turn for turn in self._windows if not self._window_room(turn)]
        return self._shut | dict.fromkeys(full)

    def learn(self, claimed: Claimed) -> None:
        """Note where the claim ended; `begin` what it gave first."""
        self._most = min(self._most * 2, CLAIM_MOST)
        if claimed.seen is None and not (self.in_round and not self._asked):
            self._called -= self._before
        if not self._asked:
            self._after = claimed.seen or FIRST
        self._resume |= dict(claimed.resume)
        self._resume = {
            organisation: domain for organisation, domain in self._resume.items() if domain
        }
        missed = {turn for turn in self._hungry if not self._was_looked_at(turn, claimed)}
        self._hungry = missed | claimed.hungry
        self._hungry -= self._shut.keys()
        more = bool(claimed.resume) or any(map(self._has_room, self._hungry))
        self.goes_on = claimed.seen is not None or (bool(claimed.works) and more)

    def _was_looked_at(self, turn: Turn, claimed: Claimed) -> bool:
        """Whether the claim would have given more of it; not who had no room."""
        if self._asked and (turn[0] not in self._asked or claimed.seen is not None):
            return False
        return turn not in self._full

    def shut(self, turn: Turn) -> None:
        """Take no more of this turn, however much is due: it has nowhere to go."""
        self._shut[turn] = None
        self._hungry.discard(turn)

    def reopen(self, turn: Turn) -> None:
        """Take of this turn again."""
        self._shut.pop(turn, None)

    def next_shut(self, most: int) -> list[Turn]:
        """Return shut turns to look at, those first that were not looked at for longest."""
        chosen = list(islice(self._shut, most))
        for turn in chosen:
            self._shut[turn] = self._shut.pop(turn)
        return chosen

    def refused(self) -> bool:
        """Note that a claim could not be read; returns whether it was for one delivery alone."""
        alone = self._most == 1
        self._most = max(1, self._most // 2)
        self.goes_on = True
        return alone

    # The most that leaves, with what is then in hand, twice (or four times) as much free.
    def _organisation_room(self, in_hand: int) -> int:
        return max((self._free - 2 * in_hand) // 3, 0 if in_hand else 1)

    def _turn_room(self, in_hand: int) -> int:
        return max((self._free - 4 * in_hand) // 5, 0 if in_hand else 1)

    def _window_room(self, turn: Turn) -> int:
        window = self._windows.get(turn)
        if window is None:
            return PLACES
        is_open = window.opens_at <= self._clock()
        return max(0, window.most - self._turns[turn]) if is_open else 0

    def _room(self, turn: Turn) -> int:
        of_organisation = self._organisation_room(self._organisations[turn[0]])
        of_turn = min(self._turn_room(self._turns[turn]), self._window_room(turn))
        return min(of_organisation, of_turn)

    def _has_room(self, turn: Turn) -> bool:
        # Half of what it may hold, so that claims are few and large.
        half = self._free // 10
        if window := self._windows.get(turn):
            half = min(half, window.most // 2)
        return self._room(turn) > half


def _lessen(counts: Counter[Key], key: Key, count: int) -> None:
    counts[key] -= count
    if not counts[key]:
        del counts[key]
