# SPDX-License-Identifier: AGPL-3.0-or-later
"""Of each test one look runs every time, and of all tests together every look does."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.browser import matrix
from tests.browser.pages import PAGES


@dataclass
class Collected:
    nodeid: str
    callspec: Any
    marked: list[str] = field(default_factory=list)

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marked.append(mark.name)


def test_each_page_is_seen_in_one_look_and_each_look_on_some_page() -> None:
    looks = [str(parameter.values[0]) for parameter in matrix.EVERY_LOOK]
    collected = [
        Collected(f"x.py::test_page[{page.name}-{look}]", SimpleNamespace(params={"look": look}))
        for page in PAGES
        for look in looks
    ]
    matrix.leave_to_full(cast(list[pytest.Item], collected))
    kept = [one for one in collected if not one.marked]
    assert len(kept) == len({page.name for page in PAGES})
    assert {look for look in looks for one in kept if look in one.nodeid} == set(looks)
    assert all(one.marked == ["full"] for one in collected if one not in kept)


def test_what_has_no_look_always_runs() -> None:
    plain = Collected("x.py::test_plain", SimpleNamespace(params={}))
    matrix.leave_to_full(cast(list[pytest.Item], [plain]))
    assert plain.marked == []
