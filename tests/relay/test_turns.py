# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shares of a shift, with a queue that is only counted."""

from __future__ import annotations

from collections import Counter, deque
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.queue import Ask, Claimed
from relay.turns import CLAIM_MOST, IDLE_SECONDS, PLACES, Turn, Turns

pytestmark = pytest.mark.behaviour(25)


def house(number: int) -> UUID:
    return UUID(int=number + 1)


class Books:
    """What waits, by turn, and claims on it as the database hands them out (but for lanes)."""

    def __init__(self, waiting: dict[Turn, int]) -> None:
        self.waiting = Counter(waiting)

    def claim(self, turns: Turns, *, known: bool = False) -> Counter[Turn]:
        """Claim once, as a shift does it: of everybody, or of who is known to have mail."""
        ask = turns.ask_known() if known else turns.ask()
        if ask is None:
            return Counter()
        given, hungry, seen = self._give(ask)
        for turn, count in given.items():
            turns.begin(turn, count)
        self.waiting -= given
        turns.learn(Claimed(works=(), hungry=frozenset(hungry), seen=seen))
        return given

    def _give(self, ask: Ask) -> tuple[Counter[Turn], set[Turn], UUID | None]:
        rooms = dict(ask.rooms)
        turn_rooms = {(who, domain): room for who, domain, room in ask.turns}
        due = [turn for turn, count in sorted(self.waiting.items()) if count]
        due = [t for t in due if t not in ask.left_out]
        due = [turn for turn in due if not ask.named or turn[0] in ask.named]
        due = [t for t in due if t[0] > ask.after and turn_rooms.get(t, ask.fresh_turn) > 0]
        due = [t for t in due if rooms.get(t[0], ask.fresh) > 0]
        houses = sorted({turn[0] for turn in due})
        seen = houses[ask.limit - 1] if len(houses) > ask.limit else None
        given: Counter[Turn] = Counter()
        hungry = set()
        for who in houses[: ask.limit]:
            each = min(rooms.get(who, ask.fresh), max(1, ask.limit // len(houses)))
            own = [turn for turn in due if turn[0] == who]
            for turn in own[:each]:
                take = min(turn_rooms.get(turn, ask.fresh_turn), max(1, each // len(own)))
                given[turn] = min(take, self.waiting[turn])
                if given[turn] == take:
                    hungry.add(turn)
        return given, hungry, seen


def fill(books: Books, turns: Turns, rounds: int = 100) -> Counter[Turn]:
    """Claim until nothing more comes, without anything coming to its end."""
    held: Counter[Turn] = Counter()
    for _ in range(rounds):
        held += books.claim(turns)
    return held


def test_alone_there_is_enough_for_every_connection() -> None:
    turn = (house(0), "due.example")
    held = fill(Books({turn: 5_000}), Turns(lambda: 0.5))
    assert held[turn] == PLACES // 5


@settings(deadline=None, max_examples=25)
@given(silent=st.integers(1, 120), domains=st.integers(1, 4))
@pytest.mark.behaviour(25)
def test_however_many_are_silent_a_new_one_is_served(silent: int, domains: int) -> None:
    books = Books(
        {(house(n), f"d{d}.example"): 5_000 for n in range(silent) for d in range(domains)}
    )
    turns = Turns(lambda: 0.5)
    held = fill(books, turns)
    assert sum(held.values()) <= PLACES
    new = (house(1000), "new.example")
    books.waiting[new] = 10
    served = 0
    for _ in range(12):
        # The others never end; what this one gets in hand ends at once.
        given = books.claim(turns)[new]
        if given:
            turns.end(new, given)
        served += given
    assert served == 10


@settings(deadline=None, max_examples=25)
@given(
    speeds=st.lists(st.integers(1, 3), min_size=2, max_size=12),
    size=st.integers(2_000, 5_000),
)
def test_busy_organisations_get_even_shares(speeds: list[int], size: int) -> None:
    """Served as fast as they are claimed, N organisations get a share of N within a fifth."""
    books = Books({(house(n), "due.example"): size * speed for n, speed in enumerate(speeds)})
    turns = Turns(lambda: 0.5)
    hand: deque[Turn] = deque()
    served: Counter[UUID] = Counter()
    while sum(served.values()) < 1_000:
        for turn, count in books.claim(turns).items():
            hand.extend([turn] * count)
        for _ in range(min(100, len(hand))):
            turn = hand.popleft()
            served[turn[0]] += 1
            turns.end(turn, 1)
    share = sum(served.values()) / len(speeds)
    assert all(share * 0.8 <= count <= share * 1.2 for count in served.values()), served


def test_more_organisations_than_a_claim_may_take_come_in_turn() -> None:
    books = Books({(house(n), "due.example"): 3 for n in range(3 * CLAIM_MOST)})
    turns = Turns(lambda: 0.5, places=10_000)
    first = [books.claim(turns) for _ in range(3)]
    assert [len(given) for given in first] == [CLAIM_MOST] * 3
    assert len(set().union(*first)) == 3 * CLAIM_MOST


def test_shift_claims_again_at_once_only_while_that_brings_something() -> None:
    turn = (house(0), "due.example")
    books, turns = Books({turn: 350}), Turns(lambda: 0.5)
    assert books.claim(turns)[turn] == 200
    # Full of this one: the next claim waits until half of it is done.
    assert not turns.goes_on
    calls = [turns.end(turn, 1) for _ in range(150)]
    assert calls.index(True) in range(60, 120)
    assert books.claim(turns)[turn] > 60
    while books.waiting[turn]:
        turns.end(turn, 50)
        books.claim(turns)
    turns.end(turn, 50)
    assert books.claim(turns)[turn] == 0
    assert not turns.goes_on


def test_between_rounds_only_who_is_called_or_left_hungry_is_looked_at() -> None:
    quiet, called, hungry = ((house(n), "due.example") for n in range(3))
    books, turns = Books({hungry: 500}), Turns(lambda: 0.5)
    held = fill(books, turns)[hungry]
    assert books.claim(turns, known=True) == Counter()
    books.waiting |= Counter({quiet: 5, called: 5})
    turns.end(hungry, held)
    turns.call([called[0]])
    given = books.claim(turns, known=True)
    assert set(given) == {called, hungry}
    books.waiting[called] = 5
    # Its call is answered.
    assert set(books.claim(turns, known=True)) == {hungry}
    assert set(books.claim(turns)) >= {quiet, called}


def test_call_during_a_claim_is_not_forgotten() -> None:
    turns = Turns(lambda: 0.5)
    turns.call([house(0)])
    assert turns.ask_known()
    turns.call([house(1)])
    turns.learn(Claimed(works=()))
    ask = turns.ask_known()
    assert ask is not None
    assert ask.named == (house(1),)


@pytest.mark.behaviour(25)
def test_room_that_comes_during_a_claim_does_not_end_a_backlog() -> None:
    turn = (house(0), "due.example")
    books, turns = Books({turn: 5_000}), Turns(lambda: 0.5)
    fill(books, turns)
    assert turns.ask() is not None
    assert turns.end(turn, PLACES // 5)
    turns.learn(Claimed(works=()))  # it had no room for this one
    assert books.claim(turns, known=True)


def test_very_many_calls_are_a_look_at_everybody() -> None:
    turns = Turns(lambda: 0.5)
    turns.call([house(n) for n in range(1_000)])
    ask = turns.ask_known()
    assert ask is not None
    assert ask.named == ()
    turns.learn(Claimed(works=()))
    assert turns.ask_known() is None


def test_claims_that_fail_grow_small_and_then_large_again() -> None:
    turns = Turns(lambda: 0.5)
    failed = [turns.refused() for _ in range(9)]
    assert failed == [False] * 8 + [True] or failed == [False] * 7 + [True] * 2
    ask = turns.ask()
    assert ask is not None
    assert ask.limit == 1
    for _ in range(8):
        turns.learn(Claimed(works=()))
    ask = turns.ask()
    assert ask is not None
    assert ask.limit == CLAIM_MOST


def test_no_place_no_claim() -> None:
    turns = Turns(lambda: 0.5, places=10)
    turns.begin((house(0), "due.example"), 10)
    assert turns.ask() is None


def test_turn_that_is_shut_is_asked_for_no_more_until_it_is_reopened() -> None:
    turns = Turns(lambda: 0.5)
    first, second = (house(0), "a.example"), (house(0), "b.example")
    turns.shut(first)
    turns.shut(second)
    turns.learn(Claimed(works=(), hungry=frozenset({first})))
    ask = turns.ask()
    assert ask is not None
    assert ask.left_out == (first, second)
    assert not turns.goes_on
    turns.reopen(first)
    ask = turns.ask()
    assert ask is not None
    assert ask.left_out == (second,)


def test_shut_turns_are_looked_at_in_turn() -> None:
    turns = Turns(lambda: 0.5)
    every = [(house(number), "a.example") for number in range(5)]
    for turn in every:
        turns.shut(turn)
    assert [turns.next_shut(2) for _ in range(3)] == [every[:2], every[2:4], [every[4], every[0]]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def claimed_at_once(books: Books, turns: Turns) -> int:
    return sum(books.claim(turns).values())


def test_turn_whose_mail_came_back_is_left_out_and_then_tried_with_one() -> None:
    turn, clock = (house(0), "due.example"), Clock()
    books, turns = Books({turn: 5_000}), Turns(lambda: 0.5, clock=clock)
    for _ in range(claimed_at_once(books, turns)):
        turns.put_back(turn, 1, 2.0)
    assert claimed_at_once(books, turns) == 0
    ask = turns.ask()
    assert ask is not None
    assert ask.left_out == (turn,)
    # Mail that ends needs no next hop: there is room for it all the same.
    assert {(who, domain): room for who, domain, room in ask.turns}[turn] > 100
    clock.now = 2.0
    assert claimed_at_once(books, turns) == 1
    assert claimed_at_once(books, turns) == 0
    # One more for each that ends, until it is as before.
    for most in (2, 4, 8, 16, 32, 64, 128):
        for _ in range(most // 2):
            turns.end(turn, 1)
        assert turns.goes_on or turns.end(turn, 0)
        assert claimed_at_once(books, turns) == most
    for _ in range(128):
        turns.end(turn, 1)
    assert claimed_at_once(books, turns) == CLAIM_MOST


def test_turn_may_have_as_many_in_hand_as_found_a_connection() -> None:
    turn, other, clock = (house(0), "due.example"), (house(1), "due.example"), Clock()
    books, turns = Books({turn: 5_000, other: 5_000}), Turns(lambda: 0.5, clock=clock)
    taken = books.claim(turns)
    for _ in range(taken[turn] - 4):
        turns.put_back(turn, 1, 2.0)
    clock.now = 2.0
    again = books.claim(turns)
    assert again[turn] == 0
    assert again[other] > 0
    turns.end(turn, 1)
    assert books.claim(turns)[turn] == 2


def test_rest_that_is_over_with_nothing_in_hand_costs_later_claims_nothing() -> None:
    clock = Clock()
    turns = Turns(lambda: 0.5, clock=clock)
    crowd = [(house(number), "due.example") for number in range(50)]
    for turn in crowd:
        turns.begin(turn, 1)
        turns.put_back(turn, 1, 2.0)
    turns.begin(crowd[0], 1)
    asked = turns.ask()
    assert asked is not None
    assert (len(asked.turns), len(asked.left_out)) == (50, 50)
    clock.now = 2.0
    asked = turns.ask()
    assert asked is not None
    assert (len(asked.turns), asked.left_out) == (50, (crowd[0],))
    clock.now = 2.0 + IDLE_SECONDS
    asked = turns.ask()
    assert asked is not None
    assert [turn[:2] for turn in asked.turns] == [crowd[0]]


def test_turn_does_not_forget_a_rest_because_others_of_it_end() -> None:
    turn, clock = (house(0), "due.example"), Clock()
    books, turns = Books({turn: 5_000}), Turns(lambda: 0.5, clock=clock)
    count = claimed_at_once(books, turns)
    turns.put_back(turn, 1, 30.0)
    for _ in range(count - 1):
        turns.end(turn, 1)
    assert claimed_at_once(books, turns) == 0
    clock.now = 30.0
    assert claimed_at_once(books, turns) > 0
