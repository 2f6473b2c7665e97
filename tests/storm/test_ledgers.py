# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.storm.client import Ledger
from tests.storm.farend import Copy, Cut
from tests.storm.ledgers import Ours, compare

ID = "019aa1b2-0000-7000-8000-00000000000"
SENT = b"Message-ID: <a@bench.example>\r\n\r\nhej\r\n"


def trace(number: int) -> bytes:
    by = f"\tby relay.example with ESMTP id {ID}{number}; now\r\n"
    return f"Received: from client.example\r\n{by}".encode()


def copy(
    number: int = 1, mark: str = "a@bench.example", content: bytes = SENT, answered_at: float = 1.1
) -> Copy:
    return Copy(mark, trace(number) + content, begun_at=1.0, answered_at=answered_at)


def ledger(**changes: object) -> Ledger:
    found = Ledger({"a@bench.example": SENT}, {"a@bench.example": 1.0})
    for name, value in changes.items():
        setattr(found, name, value)
    return found


OURS = Ours({f"{ID}1": (False, True)}, 0, 0, 0, 0, 0)
TWICE = replace(OURS, messages={f"{ID}1": (False, True), f"{ID}2": (False, True)})


CUT = Cut(1.05, 1.2)


def broken(
    client: Ledger, ours: Ours, copies: list[Copy], in_flight: int = 0, cuts: Sequence[Cut] = (CUT,)
) -> str:
    return " ".join(compare(client, ours, copies, in_flight, cuts).broken)


def test_one_unaltered_copy_holds():
    assert broken(ledger(), OURS, [copy()]) == ""


@pytest.mark.parametrize(
    ("ours", "copies", "fault"),
    [
        (OURS, [], "lost"),
        (OURS, [copy(), copy(mark="b@bench.example")], "phantom"),
        (OURS, [copy(content=SENT.replace(b"hej", b"HEJ"))], "altered"),
        (OURS, [copy(content=b"X-Ours: 1\r\n" + SENT)], "altered"),
        (OURS, [copy(), copy()], "duplicates is"),
        (TWICE, [copy(1), copy(2)], "accepted twice without a retry"),
        (replace(OURS, waiting=1), [copy()], "waiting at the end"),
        (replace(OURS, without_due_time=1), [copy()], "without a due time"),
        (replace(OURS, stranded=1), [copy()], "neither final nor waiting"),
        (replace(OURS, content_rows=1), [copy()], "content rows"),
        (replace(OURS, content_not_destroyed=1), [copy()], "content not destroyed"),
        (OURS, [copy(2)], "not at the far end"),
        (replace(OURS, messages={}), [copy()], "not called delivered"),
    ],
)
def test_a_fault_in_the_ledgers_is_named(ours: Ours, copies: list[Copy], fault: str):
    assert fault in broken(ledger(), ours, copies)


def test_a_refusal_for_good_during_a_fault_is_named():
    client = ledger()
    client.refusals[550] += 1
    assert "5xx" in broken(client, OURS, [copy()])


def test_a_duplicate_must_be_flagged_even_when_it_was_in_flight():
    assert "not flagged" in broken(ledger(), OURS, [copy(), copy()], in_flight=1)
    flagged = replace(OURS, messages={f"{ID}1": (True, True)})
    assert broken(ledger(), flagged, [copy(), copy()], in_flight=1) == ""


def test_a_client_that_was_unsure_may_be_accepted_twice():
    client = ledger()
    client.uncertain["a@bench.example"] += 1
    assert broken(client, TWICE, [copy(1), copy(2)]) == ""


FLAGGED = replace(OURS, messages={f"{ID}1": (True, True)})
NEVER = float("inf")


@pytest.mark.parametrize(
    ("since", "until", "answered_at", "ambiguous"),
    [
        (1.05, 1.2, 1.1, True),
        (0.1, 0.9, 1.1, False),  # over before the transaction began
        (2.05, 2.2, 1.1, True),  # our answer may not have been noted yet
        (2.2, 2.3, 1.1, False),
        (900.0, 901.0, NEVER, True),
    ],
)
def test_a_second_copy_needs_a_strike_that_met_the_first(
    since: float, until: float, answered_at: float, ambiguous: bool
):
    copies = [copy(answered_at=answered_at), copy()]
    found = broken(ledger(), FLAGGED, copies, in_flight=9, cuts=[Cut(since, until)])
    assert found == (
        "" if ambiguous else "duplicates of a certain delivery is 1, at most 0 allowed"
    )


def test_a_third_copy_needs_that_the_second_was_met_as_well():
    met, sure = copy(), Copy("a@bench.example", trace(1) + SENT, begun_at=5.0, answered_at=5.1)
    assert broken(ledger(), FLAGGED, [met, met, sure], in_flight=9) == ""
    assert "duplicates of a certain delivery is 1" in broken(
        ledger(), FLAGGED, [met, sure, sure], in_flight=9
    )
