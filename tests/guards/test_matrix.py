# SPDX-License-Identifier: AGPL-3.0-or-later
"""Of each test one look runs every time, and of all tests together every look does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.browser import matrix
from tests.browser.pages import PAGES

ROOT = Path(__file__).resolve().parents[2]
LOOKS = [str(parameter.values[0]) for parameter in matrix.EVERY_LOOK]
PAGE = "tests/browser/test_pages.py::test_page"


@pytest.fixture(scope="module")
def collected() -> list[str]:
    """What `make test` runs of the tests in the browser, as pytest itself tells."""
    words = ("pytest", "--collect-only", "-q", "-m", "not full", "tests/browser")
    # What somebody has asked of this run would change what is printed.
    plain = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT, env=plain, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_each_page_is_seen_in_one_look_and_each_look_on_some_page(collected: list[str]) -> None:
    seen = [name for name in collected if name.startswith(f"{PAGE}[")]
    of_pages = {
        page.name: [look for look in LOOKS if f"{PAGE}[{page.name}-{look}]" in seen]
        for page in PAGES
    }
    assert {name: looks for name, looks in of_pages.items() if len(looks) != 1} == {}
    assert len(seen) == len(PAGES)
    assert {look for looks in of_pages.values() for look in looks} == set(LOOKS)


def test_each_test_in_the_browser_runs_in_some_look(collected: list[str]) -> None:
    files = (ROOT / "tests/browser").glob("test_*.py")
    written = {
        f"{file.relative_to(ROOT)}::{name}"
        for file in files
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert {name.partition("[")[0] for name in collected} == written


@dataclass
class Collected:
    name: str
    look: str | None
    marked: list[str] = field(default_factory=list)

    @property
    def nodeid(self) -> str:
        return f"x.py::{self.name}[{self.look}]"

    @property
    def callspec(self) -> Any:
        return SimpleNamespace(params={"look": self.look} if self.look else {})

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marked else None

    def add_marker(self, mark: pytest.MarkDecorator) -> None:
        self.marked.append(mark.name)


def kept(tests: list[Collected]) -> set[str]:
    """What is left for each run."""
    matrix.leave_to_full(cast(list[pytest.Item], tests))
    return {one.nodeid for one in tests if not one.marked}


def in_all_looks() -> list[Collected]:
    return [Collected(f"test_{number}", look) for number in range(30) for look in LOOKS]


def test_order_of_collection_picks_no_look() -> None:
    assert kept(in_all_looks()) == kept(in_all_looks()[::-1])
    assert len(kept(in_all_looks())) == 30


def test_look_that_its_test_leaves_to_the_full_matrix_is_not_picked() -> None:
    for one in LOOKS:
        tests = [Collected("test_a", look, [] if look == one else ["full"]) for look in LOOKS]
        assert kept(tests) == {f"x.py::test_a[{one}]"}


def test_what_has_no_look_always_runs() -> None:
    assert kept([Collected("test_plain", None)]) == {"x.py::test_plain[None]"}
