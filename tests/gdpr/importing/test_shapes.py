# SPDX-License-Identifier: AGPL-3.0-or-later
"""Our reading of JSON Schema says what everybody's says, of the schema that is published."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from gdpr.importing.shapes import LONGEST_TEXT, fits
from gdpr.rights import portability
from tests.gdpr.importing import parcels

USER = "accounts.User"
# The words of JSON Schema that are read; any other would be passed over in silence.
WORDS = {"anyOf", "type", "format", "items", "properties", "required", "additionalProperties"}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (USER, parcels.ANNA),
        (USER, {}),
        (USER, {"last_login": None}),
        (USER, {"last_login": 7}),
        (USER, {"email": "nowhere"}),
        (USER, {"email": None}),
        (USER, {"first_name": True}),
        (USER, {"first_name": ["Anna"]}),
        (USER, {"is_superuser": True}),
        (USER, []),
        (USER, "Anna"),
        (USER, None),
        ("gdpr.Import", {"records": []}),
        ("gdpr.Import", {"records": [{"table": "a.B", "row": {"x": 1}}]}),
        ("gdpr.Import", {"records": [{"table": "a.B"}]}),
        ("gdpr.Import", {"records": [{"table": 1, "row": {}}]}),
        ("gdpr.Import", {"records": [{"table": "a.B", "row": {}, "z": 1}]}),
        ("gdpr.Import", {"records": {}}),
    ],
)
def test_same_answer_as_a_library(table: str, row: Any) -> None:
    shape = portability.row_shapes()[table]
    library = Draft202012Validator(shape, format_checker=FormatChecker(("email",)))
    assert fits(row, shape) is library.is_valid(row)


def test_published_schema_uses_no_word_that_is_not_known() -> None:
    shapes = list(portability.row_shapes().values())
    columns = [column for shape in shapes for column in shape["properties"].values()]
    nested = [one for column in columns for one in column.get("anyOf", [column])]
    nested += [one["items"] for one in nested if "items" in one]
    assert {name for shape in (*shapes, *columns, *nested) for name in shape} <= WORDS


@pytest.mark.parametrize("text", ["2026-13-01T00:00:00Z", "tomorrow", "2026-01-01T00:00:00Z\0"])
def test_time_that_is_none(text: str) -> None:
    assert not fits({"last_login": text}, portability.row_shapes()[USER])


def test_text_that_cannot_be_kept() -> None:
    shape = portability.row_shapes()[USER]
    assert not fits({"first_name": "a\0b"}, shape)
    assert not fits({"first_name": "x" * (LONGEST_TEXT + 1)}, shape)
