# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether rows are what the published schema says: the words of JSON Schema that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

# What a text may have at most; the columns that it goes to have less, or none is set.
LONGEST_TEXT = 20_000
KINDS: dict[str, type] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def fits(value: Any, shape: Mapping[str, Any]) -> bool:
    """Say whether a value is what its schema says. Raises KeyError for a word not known here."""
    if "anyOf" in shape:
        return any(fits(value, one) for one in shape["anyOf"])
    # Not isinstance: to Python a truth value is a number as well.
    if type(value) is not KINDS[shape["type"]]:
        return False
    if isinstance(value, str):
        return _fits_text(value, shape.get("format"))
    if isinstance(value, list):
        return all(fits(item, shape["items"]) for item in value)
    return _fits_object(value, shape) if isinstance(value, dict) else True


def _fits_text(value: str, form: str | None) -> bool:
    # PostgreSQL keeps no NUL.
    if len(value) > LONGEST_TEXT or "\0" in value:
        return False
    return form is None or FORMATS[form](value)


def _fits_object(value: Mapping[str, Any], shape: Mapping[str, Any]) -> bool:
    known = shape.get("properties", {})
    if not value.keys() >= set(shape.get("required", ())):
        return False
    if value.keys() - known.keys() and not shape.get("additionalProperties", True):
        return False
    return all(fits(value[name], known[name]) for name in value.keys() & known.keys())


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            read(text)
        except (ValueError, ValidationError):
            return False
        return True

    return holds


FORMATS = {
    "date-time": _reads(datetime.fromisoformat),
    "date": _reads(date.fromisoformat),
    "uuid": _reads(UUID),
    "email": _reads(validate_email),
}
