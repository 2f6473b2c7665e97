# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs tests in a copy of the tree, and reads what became of each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

ROOT = Path(__file__).resolve().parents[2]
# What a test needs no copy of.
LEFT_OUT = (".git", ".venv", "var", "__pycache__", "node_modules", ".*_cache", ".hypothesis")
# A fault may make a test wait for ever.
TEST_SECONDS = 60
RUN_SECONDS = 1800

# By test without its parameters: how often it passed, failed, was skipped, or broke down.
Results = dict[str, Counter[str]]


def copy_to(directory: Path) -> Path:
    """Copy the tree; it shares the installed packages."""
    tree = directory / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (tree / ".venv").symlink_to(ROOT / ".venv")
    return tree


def run(tree: Path, tests: Iterable[str], *options: str, anew: bool = False) -> tuple[Results, str]:
    """Run tests in the tree; returns their results, and what was printed.

    `anew` migrates a database for this run alone, instead of using the one of the run before.
    """
    with NamedTemporaryFile(suffix=".xml") as report:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:randomly"),
                *("-p", "no:cacheprovider", f"--junitxml={report.name}"),
                *(() if anew else ("--reuse-db",)),
                *(f"--timeout={TEST_SECONDS}", "-o", "timeout_method=signal"),
                *options,
                *dict.fromkeys(tests),
            ],
            cwd=tree,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        text = Path(report.name).read_text()
    return read(text) if text else {}, done.stdout + done.stderr


def read(report: str) -> Results:
    """Read a JUnit report. A failure is the test's own; an error is of what was set up for it."""
    results: Results = defaultdict(Counter)
    for case in ElementTree.fromstring(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        results[_name(case)][kinds[0] if kinds else "passed"] += 1
    return dict(results)


def _name(case: ElementTree.Element) -> str:
    """Return a test as pytest names it, without parameters; no module begins with a capital."""
    words = case.get("classname", "").split(".")
    modules = [word for word in words if not word[:1].isupper()]
    within = [*words[len(modules) :], case.get("name", "").partition("[")[0]]
    return "::".join(["/".join(modules) + ".py", *within])


def passes(results: Results, test: str) -> bool:
    """Whether the test ran, and nothing of it failed."""
    counted = results.get(test, Counter())
    return set(counted) == {"passed"}


def notices(results: Results, test: str) -> bool:
    """Whether the test itself failed: a tree that cannot even start shows nothing."""
    return results.get(test, Counter())["failure"] > 0
