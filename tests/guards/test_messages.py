# SPDX-License-Identifier: AGPL-3.0-or-later
"""Everything that people read is there in Danish, and the catalogue holds nothing else."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS
from babel.messages.pofile import read_po

from config.settings import BASE_DIR

APPS = ("accounts", "config", "dpa", "gdpr", "relay")
CATALOGUE = BASE_DIR / "config" / "locale" / "da" / "LC_MESSAGES" / "django.po"


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The texts in the tree, collected with the words of `make messages`."""
    found = re.search(r"\$\(BABEL\) (-q extract .*) -o \S+ \.$", _makefile(), re.MULTILINE)
    assert found, "the target `messages` no longer looks as expected"
    target = tmp_path_factory.mktemp("messages") / "messages.pot"
    frontend = [sys.executable, "-m", "babel.messages.frontend"]
    words = [*frontend, *shlex.split(found[1]), "-o", str(target), "."]
    subprocess.run(words, cwd=BASE_DIR, check=True)
    return _read(target)


def _makefile() -> str:
    return (BASE_DIR / "Makefile").read_text()


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale="da")


def _texts(catalogue: Catalog) -> set[str]:
    """The texts, the singular standing for both."""
    texts = (message.id for message in catalogue if message.id)
    return {text if isinstance(text, str) else text[0] for text in texts}


def _is_complete(message: Message) -> bool:
    texts = [message.string] if isinstance(message.string, str) else list(message.string)
    return all(texts) and not message.fuzzy


def test_catalogue_holds_exactly_the_texts_of_the_tree(collected: Catalog) -> None:
    danish = _read(CATALOGUE)
    assert len(_texts(collected)) > 500
    assert _texts(collected) - _texts(danish) == set(), "run `make messages` and write the Danish"
    assert _texts(danish) - _texts(collected) == set(), "outdated: run `make messages`"


def test_every_module_marks_texts_by_a_name_that_is_looked_for() -> None:
    """Under another name a text is in no catalogue, and so no other test here misses it."""
    known = {*DEFAULT_KEYWORDS, *re.findall(r" -k (\w+)", _makefile())}
    imported = [found for app in APPS for found in _markers(BASE_DIR / app)]
    assert len(imported) > 50
    assert [(path, name) for path, name in imported if name not in known] == []


def _markers(app: Path) -> Iterator[tuple[str, str]]:
    """Yield each module that imports a function of gettext, and what it calls it."""
    for path in app.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
                names = [alias for alias in node.names if "gettext" in alias.name]
                yield from ((str(path), alias.asname or alias.name) for alias in names)


def test_every_text_is_there_in_danish() -> None:
    messages = [message for message in _read(CATALOGUE) if message.id]
    assert [message.id for message in messages if not _is_complete(message)] == []


def test_danish_keeps_the_places_for_values() -> None:
    """A name misspelt in `%(name)s` would fail only when the page is shown."""
    wrong = [
        (error, message.id) for message, errors in _read(CATALOGUE).check() for error in errors
    ]
    assert wrong == []
