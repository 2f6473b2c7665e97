# SPDX-License-Identifier: AGPL-3.0-or-later
"""The lane of exports is judged by what was added to idle, and not where rows are missing."""

from __future__ import annotations

import pytest

from tests.bench.exports import judged

FOUND = {
    "rows": 1_000_000, "seconds": 9.0, "octets": 5, "idle_mib": 100.0, "child_mib": 300.0,
}  # fmt: skip


@pytest.mark.parametrize(("peak", "holds"), [(299.9, True), (300.0, False)])
def test_what_counts_is_above_idle(peak: float, *, holds: bool) -> None:
    assert judged(FOUND | {"peak_mib": peak}, []).holds is holds


def test_what_is_missing_is_told() -> None:
    row = judged(FOUND | {"peak_mib": 110.0}, ["the package has 7 rows"])
    assert row.holds is None
    assert row.reference == "not run: the package has 7 rows"
