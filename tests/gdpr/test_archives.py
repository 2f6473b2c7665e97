# SPDX-License-Identifier: AGPL-3.0-or-later
"""No cell of a package's CSV is a formula, and every cell is still what it says."""

from __future__ import annotations

import csv
import io

import pytest

from accounts import spreadsheets
from gdpr import archives
from gdpr.extracts import Row
from gdpr.redaction import Value


@pytest.mark.parametrize(
    "text", ["=1+1", "+45 12", "-2+3", "@SUM(A1)", "\t1", "\r1", '=HYPERLINK("x")']
)
def test_formula_is_text(text: str) -> None:
    assert archives.csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("sign", "=+-@\uff1d\uff0b\uff0d\uff20")
@pytest.mark.parametrize("end", [";", "\t", "\r\n", "; ", ';"'])
def test_formula_after_what_ends_a_cell_elsewhere_is_text(end: str, sign: str) -> None:
    """Danish spreadsheets begin a cell after each semicolon, whatever the file means by it."""
    text = f"a{end}{sign}cmd|x;b{end}{sign}1"
    assert archives.csv_cell(text) == f"a{end}'{sign}cmd|x;b{end}'{sign}1"
    assert spreadsheets.text(spreadsheets.cell(text)) == text
    assert archives.csv_cell(f"{sign}1") == f"'{sign}1"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        ("Æblegrød", "Æblegrød"),
        (["a", "="], '["a", "="]'),
        ("a\0b", "ab"),
    ],
)
def test_other_values_stay(value: Value, cell: str) -> None:
    assert archives.csv_cell(value) == cell


def test_table_is_read_back_whole() -> None:
    rows: list[Row] = [{"a": 'x, "y"\nz', "b": "=1"}, {"a": "Ø"}]
    content = archives.csv_table(["a", "b"], rows)
    assert content.startswith("\ufeff".encode())
    read = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert read == [["a", "b"], ['x, "y"\nz', "'=1"], ["Ø", ""]]
