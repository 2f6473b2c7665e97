# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each numbered behaviour of mail has a test that bears its number."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

OF_MAIL = {*range(1, 43), 45}
TESTS = Path(__file__).resolve().parents[1]


def numbers(source: str) -> Iterator[int]:
    """Yield the number in each `@pytest.mark.behaviour(n)` above a test."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test"
        ):
            yield from (found for mark in node.decorator_list for found in _number(mark))


def _number(mark: ast.expr) -> Iterator[int]:
    match mark:
        case ast.Call(func=ast.Attribute(attr="behaviour"), args=[ast.Constant(value=int(number))]):
            yield number


def test_every_behaviour_has_a_test() -> None:
    found = {number for path in TESTS.rglob("test_*.py") for number in numbers(path.read_text())}
    assert sorted(OF_MAIL - found) == []


def test_number_counts_on_a_test_alone() -> None:
    marked = "@pytest.mark.behaviour(7)\ndef {}(): ...\n"
    assert list(numbers(marked.format("test_x"))) == [7]
    assert list(numbers(marked.format("helper"))) == []
    assert list(numbers("# behaviour(7)\ndef test_x(): ...\n")) == []
