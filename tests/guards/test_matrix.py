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


LOOKS = [str(parameter.values[0]) for parameter in matrix.EVERY_LOOK]


def kept(*, backwards: bool = False) -> list[str]:
    """What is left for each run of all pages in all looks, collected in this order."""
    names = [f"x.py::test_page[{page.name}-{look}]" for page in PAGES for look in LOOKS]
    collected = [
        Collected(name, SimpleNamespace(params={"look": look}))
        for name, look in zip(names, LOOKS * len(PAGES), strict=True)
    ]
    if backwards:
        collected.reverse()
    matrix.leave_to_full(cast(list[pytest.Item], collected))
    assert {mark for one in collected for mark in one.marked} == {"full"}
    return sorted(one.nodeid for one in collected if not one.marked)


def test_each_page_is_seen_in_one_look_and_each_look_on_some_page() -> None:
    pages = {f"x.py::test_page[{page.name}" for page in PAGES}
    assert len(kept()) == len(pages)
    assert all(any(name.startswith(f"{page}-") for name in kept()) for page in pages)
    assert {look for look in LOOKS for name in kept() if name.endswith(f"-{look}]")} == set(LOOKS)


def test_order_of_collection_picks_no_look() -> None:
    assert kept() == kept(backwards=True)


def test_what_has_no_look_always_runs() -> None:
    plain = Collected("x.py::test_plain", SimpleNamespace(params={}))
    matrix.leave_to_full(cast(list[pytest.Item], [plain]))
    assert plain.marked == []
