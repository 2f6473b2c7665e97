# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every planted fault still has its place in the code, and its test; `make planted` runs them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.guards.test_behaviours import OF_MAIL, numbers
from tests.planted import trying
from tests.planted.__main__ import chosen
from tests.planted.fault import Fault, planted
from tests.planted.tables import FAULTS
from tests.planted.traps import TRAPS

ROOT = trying.ROOT


@cache
def behaviours_of(path: str) -> dict[str, frozenset[int]]:
    """Return the tests of a file, each with the behaviours it names."""
    return dict(_tests(ast.parse((ROOT / path).read_text())))


def _tests(
    tree: ast.Module | ast.ClassDef, within: str = ""
) -> Iterator[tuple[str, frozenset[int]]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _tests(node, f"{within}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + node.name, frozenset(numbers(ast.unparse(node)))


@pytest.mark.parametrize("number", sorted(OF_MAIL))
def test_each_behaviour_has_a_planted_fault(number: int) -> None:
    assert chosen([number])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.behaviour}-{fault.path}")
def test_fault_has_its_place_and_its_test(fault: Fault) -> None:
    source = (ROOT / fault.path).read_text()
    changed = fault.planted(source)
    assert changed != source
    # A file that cannot be read at all would make any test fail.
    if fault.path.endswith(".py"):
        ast.parse(changed)
    path, _, name = fault.test.partition("::")
    assert fault.behaviour in behaviours_of(path)[name] | {0}


@pytest.mark.parametrize("trap", list(TRAPS))
def test_trap_has_its_tests(trap: str) -> None:
    assert TRAPS[trap]
    for test in TRAPS[trap]:
        path, _, name = test.partition("::")
        assert name in behaviours_of(path), test


def test_fault_needs_one_place() -> None:
    fault = Fault(1, "a.py", "x = 1", "x = 2", "")
    assert fault.planted("x = 1\n") == "x = 2\n"
    for source in ("x = 3\n", "x = 1\nx = 1\n"):
        with pytest.raises(ValueError, match="places instead of one"):
            fault.planted(source)


def test_fault_leaves_no_trace(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    before = file.stat().st_mtime_ns
    with planted(tmp_path, Fault(1, "a.py", "x = 1", "x = 2", "")):
        assert file.read_text() == "x = 2\n"
    assert (file.read_text(), file.stat().st_mtime_ns) == ("x = 1\n", before)


REPORT = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_c[1]"/>
<testcase classname="tests.a.test_b" name="test_c[2]">{0}</testcase>
<testcase classname="tests.a.test_b.TestD" name="test_c">{0}</testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("end", "passes", "notices"),
    [
        ("", True, False),
        ("<failure/>", False, True),
        ("<error/>", False, False),
        ("<skipped/>", False, False),
    ],
)
def test_only_a_failure_of_the_test_itself_counts(end: str, passes: bool, notices: bool) -> None:
    results = trying.read(REPORT.format(end))
    for name in ("test_c", "TestD::test_c"):
        assert trying.passes(results, f"tests/a/test_b.py::{name}") is passes
        assert trying.notices(results, f"tests/a/test_b.py::{name}") is notices
    assert not trying.passes(results, "tests/a/test_b.py::test_d")
