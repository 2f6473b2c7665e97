# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the form tells known addresses by its time is judged by medians, of requests kept."""

from __future__ import annotations

from tests.bench import oracle
from tests.bench.lanes import ROUNDS

ALL = oracle.WARM_UP + ROUNDS * 3 * oracle.OF_EACH


def times(known: float, unknown: float, others: float = 10.0) -> dict[str, list[float]]:
    medians = {"known": known, "unknown": unknown, "others unknown": others}
    return {kind: [each, each, 90.0] * 100 for kind, each in medians.items()}


def test_medians_decide() -> None:
    assert oracle.row(times(10.9, 10.0), kept=ALL).holds is True
    for known in (11.1, 8.9):
        assert oracle.row(times(known, 10.0), kept=ALL).holds is False


def test_what_a_limit_dropped_is_not_judged() -> None:
    row = oracle.row(times(10.0, 10.0), kept=ALL - 1)
    assert row.holds is None
    assert row.reference == f"not run: {ALL - 1} of {ALL} requests were kept"


def test_nothing_is_judged_on_a_busy_machine() -> None:
    row = oracle.row(times(10.0, 10.0, others=11.1), kept=ALL)
    assert row.holds is None
    assert row.reference == "not run: two lots of unknown ones are 1.10 ms apart"
