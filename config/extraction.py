# SPDX-License-Identifier: AGPL-3.0-or-later
"""Finding the texts of Django templates for Babel, which only knows Python by itself."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any

from babel.messages.extract import extract_python
from django.utils.translation.template import templatize


def extract_template(
    file: IO[bytes], keywords: Mapping[str, Any], tags: Collection[str], options: Mapping[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """Yield what Babel's extractors yield: line, function, texts, comments.

    Django turns a template into Python-like text; the parentheses keep Python from minding the
    indentation of HTML.
    """
    text = f"({templatize(file.read().decode())}\n)"
    yield from extract_python(io.BytesIO(text.encode()), keywords, tags, options)
