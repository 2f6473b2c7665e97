# SPDX-License-Identifier: AGPL-3.0-or-later
"""No task waits in Redis: one that waits past its visibility timeout runs again and again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "relay", "gdpr", "dpa", "config")
MOST_SECONDS = 60


def puts_off(source: str) -> Iterator[int]:
    """Yield the line of each call that puts a task off for long, or for who knows how long."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield from (node.lineno for word in node.keywords if _is_long(word))


def _is_long(word: ast.keyword) -> bool:
    if word.arg == "eta":
        return not (isinstance(word.value, ast.Constant) and word.value.value is None)
    if word.arg != "countdown":
        return False
    seconds = word.value.value if isinstance(word.value, ast.Constant) else None
    return not (isinstance(seconds, int | float) and seconds <= MOST_SECONDS)


@pytest.mark.behaviour(21)
def test_no_task_is_put_off_for_long() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for line in puts_off(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("call", "is_long"),
    [
        ("task.apply_async(countdown=60)", False),
        ("task.apply_async(countdown=61)", True),
        ("task.apply_async(countdown=seconds)", True),
        ("task.apply_async(eta=later)", True),
        ("self.retry(countdown=2**n)", True),
        ("task.apply_async(expires=3600)", False),
    ],
)
def test_what_counts_as_long(call: str, is_long: bool) -> None:
    assert bool(list(puts_off(call))) is is_long
