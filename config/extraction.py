# SPDX-License-Identifier: AGPL-3.0-or-later
"""Finding texts for Babel: in Django templates, and in Python also inside f-strings."""

from __future__ import annotations

import ast
import io
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

from babel.messages import extract
from django.utils.translation.template import templatize

Found = tuple[Any, ...]


def extract_template(
    file: IO[bytes], keywords: Mapping[str, Any], tags: Collection[str], options: Mapping[str, Any]
) -> Iterator[Found]:
    """Yield what Babel's extractors yield: line, function, texts, comments.

    Django turns a template into Python-like text; the parentheses keep Python from minding the
    indentation of HTML.
    """
    text = f"({templatize(file.read().decode())}\n)"
    yield from extract.extract_python(io.BytesIO(text.encode()), keywords, tags, options)


def extract_python(
    file: IO[bytes], keywords: Mapping[str, Any], tags: Collection[str], options: Mapping[str, Any]
) -> Iterator[Found]:
    """The same for Python. Babel's own extractor sees into f-strings only from Python 3.12 on."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and _name(node.func) in keywords:
            texts = [_constant(argument) for argument in node.args]
            if texts:
                yield node.lineno, _name(node.func), texts[0] if len(texts) == 1 else texts, []


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _constant(argument: ast.expr) -> str | None:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    return None
