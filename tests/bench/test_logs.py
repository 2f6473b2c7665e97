# SPDX-License-Identifier: AGPL-3.0-or-later
"""A lane of the log is judged by its slowest filter, and not at all where it was spared work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench import logs
from tests.bench.rows import Row


def found(p95: float, *, finds: bool = True) -> dict[str, Any]:
    times = {"p50": 5.0, "p95": p95, "worst": p95}
    return {"first": times, "hundredth": times, "page": 100, "lines": 50, "finds": finds}


def judged(*filters: dict[str, Any], unfit: list[str]) -> Row:
    named = {f"filter {number}": one for number, one in enumerate(filters)}
    return logs.row("log-search-1m", named, "1000000 messages", unfit)


def test_slowest_filter_decides() -> None:
    assert judged(found(10.0), found(49.9), unfit=[]).holds is True
    slow = judged(found(10.0), found(50.0), unfit=[])
    assert (slow.holds, slow.ours) == (False, "p95 50 ms (filter 1)")


@pytest.mark.parametrize("finds", [True, False])
def test_what_finds_nothing_is_not_judged(*, finds: bool) -> None:
    row = judged(found(10.0), found(9.0, finds=finds), unfit=[])
    assert row.holds is (True if finds else None)
    assert row.reference == ("-" if finds else "not run: filter 1 finds nothing")


def test_what_is_missing_of_the_log_is_told() -> None:
    row = judged(found(10.0), unfit=["the log has 7 messages", logs.SMALLER])
    assert row.holds is None
    assert row.reference == "not run: the log has 7 messages; a smaller log"
