# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who is connected, in all and from each network, and who has to go when there are too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Protocol

from relay.smtp import answers
from relay.smtp.answers import Answer
from relay.smtp.policy import Client


class Guest(Protocol):
    """A conversation or a handshake, as far as the listener cares."""

    client: Client

    @property
    def interruptible(self) -> bool:
        """Whether the client waits for nothing: neither 354 nor another reply is outstanding."""

    @property
    def storing(self) -> bool:
        """Whether a whole message is in other hands: it may be committed at any moment."""

    def overdue(self, now: float) -> Answer | None:
        """What to say to a client that takes too long."""

    def close_with(self, answer: Answer) -> None:
        """Say a last word, where that is possible, and hang up."""


class Crowd:
    """Counts guests. `network` says what an address counts as; "" is not counted by network.

    Who has not signed in makes room for who comes: whoever was unknown longest goes first, and
    nothing but signing in helps against it. So connections that stay silent, or drip, shut nobody
    out, while a newcomer that signs in at once stays. A quarter of all places is for the known,
    and a quarter is the most that one owner has: whoever fills that shuts nobody else out.
    """

    def __init__(self, most: int, most_per_network: int, network: Callable[[str], str]) -> None:
        self._most = most
        self._most_unknown = most - most // 4
        self._most_per_network = most_per_network
        self._most_per_owner = max(1, most // 4)
        self._network = network
        self.guests: dict[Guest, str] = {}  # with the network that each is counted under
        self._unknown: dict[Guest, None] = {}  # oldest first
        self._per_network: Counter[str] = Counter()
        self._owners: dict[Guest, Hashable] = {}  # of those who have signed in
        self._per_owner: Counter[Hashable] = Counter()

    def __len__(self) -> int:
        return len(self.guests)

    def admit(self, guest: Guest) -> Answer | None:
        """Count a guest. A refusal when nobody else can go in its place."""
        address = guest.client.address
        network = self._network(address) if address else ""
        self.guests[guest] = network
        self._unknown[guest] = None
        self._per_network[network] += 1
        if network and self._per_network[network] > self._most_per_network:
            oldest = next(each for each in self._unknown if self.guests[each] == network)
            return self._make_room(oldest, guest, answers.CROWDED_ADDRESS)
        if len(self.guests) > self._most or len(self._unknown) > self._most_unknown:
            return self._make_room(next(iter(self._unknown)), guest, answers.CROWDED)
        return None

    def _make_room(self, oldest: Guest, newest: Guest, answer: Answer) -> Answer | None:
        if oldest is newest:
            return answer
        self.left(oldest)
        oldest.close_with(answer)
        return None

    def signed_in(self, guest: Guest, owner: Hashable) -> Answer | None:
        """From now on it makes room for nobody. A refusal when the owner has too many already."""
        if guest not in self.guests or self._owners.get(guest) == owner:
            return None  # it had to go meanwhile, or says so once more
        if self._per_owner[owner] >= self._most_per_owner:
            return answers.CROWDED_OWNER
        self._unknown.pop(guest, None)
        self._disown(guest)
        self._owners[guest] = owner
        self._per_owner[owner] += 1
        return None

    def left(self, guest: Guest) -> None:
        """A guest is gone; saying so twice does no harm."""
        network = self.guests.pop(guest, None)
        if network is None:
            return
        self._unknown.pop(guest, None)
        self._disown(guest)
        self._per_network[network] -= 1
        if not self._per_network[network]:
            del self._per_network[network]

    def _disown(self, guest: Guest) -> None:
        if guest in self._owners:
            owner = self._owners.pop(guest)
            self._per_owner[owner] -= 1
            if not self._per_owner[owner]:
                del self._per_owner[owner]
