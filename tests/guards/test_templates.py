# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rules about the tree itself: what templates may hold, what files and addresses are called."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from config.settings import BASE_DIR

PAGES = sorted((BASE_DIR / "templates").rglob("*.html"))
# Mail programs read no style sheets, so mails may carry a style of their own.
MAILS = re.compile(r"/email/")
# Names that say nothing about what is inside.
EMPTY_NAMES = {"utils", "helpers", "common", "misc", "services", "managers", "base", "core"}
LONGEST_MODULE = 500
LONGEST_TEST_MODULE = 650
NAMES_WITHOUT_APP = {"healthz", "readyz", "esp-hook", "home", "proof"}


def _tracked(*patterns: str) -> list[Path]:
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(words, cwd=BASE_DIR, check=True, capture_output=True, text=True)
    paths = (BASE_DIR / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.exists()]


class _Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy would refuse to run."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.found: list[str] = []
        # Tags of the template language may stand inside an element's own.
        self.feed(re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", template, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(f"<{tag}>")
        self.found += [name for name in names if name == "style" or name.startswith("on")]
        self.found += [text for text in names.values() if text and text.startswith("javascript:")]
        self.found += [name for name in names if name.startswith("hx-on")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(BASE_DIR).as_posix())
def test_page_has_no_inline_style_or_script(page: Path) -> None:
    found = _Inline(page.read_text()).found
    if MAILS.search(page.as_posix()):
        found = [name for name in found if name not in ("style", "<style>")]
    assert found == []


# Letters and documents are made by the worker, whose time is nobody's: each instant says whose it
# is shown in. A date has none and is called so.
UNZONED = re.compile(r"([\w.]+)((?:\|(?!date\b)[^|\s}]+)*)\|date\b[^}]*?(?:\}\}( UTC)?|%\})")
DATES = re.compile(r"_on$|^(backups|ledger)_until$")
LETTERS = [
    path
    for path in (BASE_DIR / "templates").rglob("*.*")
    if {"email", "documents", "package"} & set(path.parts)
]


def _unzoned(template: str) -> list[str]:
    return [
        name
        for name, filters, utc in UNZONED.findall(template)
        if not DATES.search(name)
        and "|timezone:" not in filters
        and not (utc and "|utc" in filters)
    ]


@pytest.mark.parametrize("page", LETTERS, ids=lambda path: path.relative_to(BASE_DIR).as_posix())
def test_letter_says_whose_time_it_shows(page: Path) -> None:
    assert _unzoned(page.read_text()) == []


def test_instant_without_a_zone_is_found() -> None:
    bare = '{{ ends_at|date:"DATE_FORMAT" }} UTC {% with day=a.until|default:x|date:"D" %}'
    assert _unzoned(bare) == ["ends_at", "a.until"]
    zoned = (
        '{{ ends_at|utc|date:"D" }} UTC {{ a_on|date }} {{ at|timezone:user.time_zone|date:"D" }}'
    )
    assert _unzoned(zoned) == []


def test_modules_say_in_their_name_what_is_inside() -> None:
    modules = _tracked("*.py")
    assert len(modules) > 200
    assert [str(path) for path in modules if path.stem in EMPTY_NAMES] == []


def test_no_module_is_too_long() -> None:
    modules = [path for path in _tracked("*.py") if "migrations" not in path.parts]
    assert [str(path) for path in modules if _length(path) > _longest(path)] == []


def _length(path: Path) -> int:
    return len(path.read_text().splitlines())


def _longest(path: Path) -> int:
    is_test = path.relative_to(BASE_DIR).parts[0] == "tests"
    return LONGEST_TEST_MODULE if is_test else LONGEST_MODULE


def test_modules_state_their_licence() -> None:
    licence = re.compile(r"(#!.*\n)?# SPDX-License-Identifier: AGPL-3.0-or-later\n")
    assert [path for path in _tracked("*.py") if not licence.match(path.read_text())] == []


def _url_names(patterns: list[URLPattern | URLResolver], space: str = "") -> list[str]:
    names: list[str] = []
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            names.append(f"{space}{pattern.name}")
        elif pattern.namespace != "admin":
            names += _url_names(pattern.url_patterns, f"{pattern.namespace or ''}:".lstrip(":"))
    return names


def test_addresses_are_named_by_app_and_act() -> None:
    names = set(_url_names(get_resolver().url_patterns)) - NAMES_WITHOUT_APP
    assert len(names) > 30
    assert [name for name in names if not re.fullmatch(r"[a-z]+:[a-z]+(-[a-z]+)*", name)] == []
