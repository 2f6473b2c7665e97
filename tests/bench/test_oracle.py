# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the form tells known addresses by its time is judged by medians, of requests kept."""

from __future__ import annotations

from tests.bench import oracle
from tests.bench.lanes import ROUNDS


def times(known: float, unknown: float) -> dict[str, list[float]]:
    return {"known": [known, known, 90.0] * 100, "unknown": [unknown, unknown, 5.0] * 100}


ALL = oracle.WARM_UP + ROUNDS * 2 * oracle.OF_EACH


def test_medians_decide() -> None:
    assert oracle.row(times(10.0, 10.9), kept=ALL).holds is True
    for apart in (times(10.0, 11.1), times(11.1, 10.0)):
        assert oracle.row(apart, kept=ALL).holds is False


def test_what_a_limit_dropped_is_not_judged() -> None:
    row = oracle.row(times(10.0, 10.0), kept=ALL - 1)
    assert row.holds is None
    assert row.reference == f"not run: {ALL - 1} of {ALL} requests were kept"
