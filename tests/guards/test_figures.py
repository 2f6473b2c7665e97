# SPDX-License-Identifier: AGPL-3.0-or-later
"""A period is a figure in one place: nothing that people read, and no other module, copies it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from config.settings import BASE_DIR
from gdpr.inventory import STORES, stores, timed_entries
from gdpr.registry import Keep, Period

CATALOGUE = BASE_DIR / "config" / "locale" / "da" / "LC_MESSAGES" / "django.po"
NUMBERS = (
    r"\d+|two|three|four|five|six|seven|ten|thirty|ninety"
    r"|to|tre|fire|fem|seks|syv|ti|tredive|halvfems"
)
# No table's period is counted in minutes.
UNITS = r"(?:day|hour|week|month|year)s?|dage?|timer?|uger?|måned(?:er)?|år"
A_SPAN = re.compile(rf"\b(?:{NUMBERS})[ \u00a0-](?:{UNITS})\b", re.IGNORECASE)
# Spans of time that are no period of keeping, each with the reason.
NO_PERIOD = {
    "The last 24 hours": "what the panel shows",
    "%(count)s in 7 days": "what the panel shows",
    "Take three months from receipt, and tell the person why": "GDPR article 12(3)",
}
# Lengths in code that happen to equal a period.
NO_COPY = {
    ("relay/verification.py", "hours", 72): "how long a domain's proof outlives its record",
    ("relay/smtp/schedule.py", "hours", 120): "the same bound, in code without models; a test"
    " holds it against QUEUE_HOURS_MAX",
    ("relay/panels.py", "days", 7): "what the panel shows",
    ("relay/hourkeys.py", "hours", 2): "how long a key may lack its row",
    ("config/stack/tls.py", "days", 30): "when a certificate is renewed",
    ("gdpr/sealkeys.py", "days", 30): "when a certificate is renewed",
    ("gdpr/escalation.py", "days", 7): "when a person is reminded of a question",
}


def _periods() -> Iterator[Period]:
    keeps: list[Keep | None] = [entry.keep for entry in timed_entries()]
    keeps += [store.keep for store in STORES] + [cookie.keep for cookie in stores.COOKIES]
    for keep in keeps:
        if keep and keep.period:
            yield keep.period


def _texts() -> Iterator[tuple[str, str]]:
    """Every text in the catalogue with its translation, forms of plural one by one."""
    with CATALOGUE.open("rb") as file:
        for message in read_po(file, locale="da"):
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            strings = [message.string] if isinstance(message.string, str) else message.string
            for text in [*ids, *strings]:
                yield ids[0], text


def copies_in_texts(texts: Iterator[tuple[str, str]]) -> list[str]:
    return [text for name, text in texts if name not in NO_PERIOD and A_SPAN.search(text)]


def test_no_text_names_a_period() -> None:
    assert copies_in_texts(_texts()) == []


@pytest.mark.parametrize("text", ["after 30 days", "inden tre dage", "72 timer senere", "a 7-day"])
def test_a_copy_in_a_text_is_found(text: str) -> None:
    assert copies_in_texts(iter([("x", text)])) == [text]


def test_what_is_let_through_is_there() -> None:
    names = {name for name, _ in _texts()}
    assert set(NO_PERIOD) <= names


def _modules() -> Iterator[Path]:
    for app in ("accounts", "relay", "gdpr", "dpa", "config"):
        for path in (BASE_DIR / app).rglob("*.py"):
            if "migrations" not in path.parts:
                yield path


def lengths(source: str) -> Iterator[tuple[str, int]]:
    """Yield unit and number of each timedelta whose length is written out."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("timedelta"):
            for word in call.keywords:
                number = ast.unparse(word.value)
                if word.arg and number.isdigit():
                    yield word.arg, int(number)


def test_no_module_writes_out_a_period() -> None:
    """The owners name a constant; whoever writes the number out has copied it, or says why not."""
    figures = {(period.unit.value, period.figure) for period in _periods()}
    owners = {period.constant.partition(":")[0].replace(".", "/") + ".py" for period in _periods()}
    assert len(figures) > 5
    found = {
        (str(path.relative_to(BASE_DIR)), unit, number)
        for path in _modules()
        for unit, number in lengths(path.read_text())
        if (unit, number) in figures
    }
    assert {copy for copy in found if copy[0] not in owners} == set(NO_COPY)


def test_a_copy_in_a_module_is_found() -> None:
    assert list(lengths("limit = now - timedelta(days=30)")) == [("days", 30)]
