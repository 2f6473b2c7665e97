# SPDX-License-Identifier: AGPL-3.0-or-later
"""Size and a few habits of the sources that no linter knows."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
FUNCTION_LINES = 30
MODULE_LINES = 500
# Where for_organisation() itself is.
TENANCY = "accounts/tenancy.py"

WITHOUT_REASON = re.compile(r"# type: ignore(\[[\w, -]+\])?\s*$", re.MULTILINE)
# People read days of Copenhagen. The ledger counts its own, and names them to nobody.
DAY_OF_UTC = re.compile(r"\.date\(\)")
OWN_DAYS = {"gdpr/deadlines.py", "gdpr/ledger.py", "gdpr/erasing/repeat.py"}
BY_HAND = re.compile(r"\.(filter|exclude|get)\(\s*organisation(_id)?=")


def _sources(*, tests: bool) -> Iterator[tuple[str, str]]:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["packages"]
    for package in packages:
        if package != "tests" or tests:
            for path in sorted((ROOT / package).rglob("*.py")):
                if "migrations" not in path.parts:
                    yield str(path.relative_to(ROOT)), path.read_text()


def long_modules() -> Iterator[str]:
    for name, text in _sources(tests=True):
        if text.count("\n") >= MODULE_LINES:
            yield name


def long_functions() -> Iterator[str]:
    for name, text in _sources(tests=False):
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
            ):
                yield f"{name}: {node.name}"


def ignores_without_reason() -> Iterator[str]:
    for name, text in _sources(tests=False):
        if WITHOUT_REASON.search(text):
            yield name


def days_of_utc() -> Iterator[str]:
    for name, text in _sources(tests=False):
        if name.startswith(("gdpr/", "dpa/")) and name not in OWN_DAYS and DAY_OF_UTC.search(text):
            yield name


def tenants_filtered_by_hand() -> Iterator[str]:
    for name, text in _sources(tests=False):
        if name != TENANCY and BY_HAND.search(text):
            yield name


@pytest.mark.parametrize(
    "rule",
    [
        long_modules,
        long_functions,
        ignores_without_reason,
        days_of_utc,
        tenants_filtered_by_hand,
    ],
)
def test_sources_keep(rule):
    assert len(list(_sources(tests=False))) > 100
    assert list(rule()) == []
