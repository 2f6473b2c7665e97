# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sheet of an access answer on paper: nothing is printed over what stands on each page."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.utils import translation

from accounts.models import Role, User
from gdpr import documents, inventory, subjects
from gdpr.extracts import Extract
from gdpr.models import Request
from gdpr.reading import Table
from gdpr.registry import Audience, Whose
from gdpr.rights.sheet import TEMPLATE, Audiences, _audiences
from tests import build, poppler

PAGE = re.compile(r"<page .*?</page>", re.DOTALL)
WORD = re.compile(r'yMin="([\d.]+)" xMax="[\d.]+" yMax="[\d.]+">([^<]*)<')
# The margin of document.css in points, less a little: a word begins above its line.
MARGIN = 27 * 72 / 25.4 - 3
TITLE = "Hvad der er gemt om dig"


@pytest.mark.timeout(300)
def test_text_that_goes_on_to_another_page_begins_below_the_running_head() -> None:
    pages = PAGE.findall(poppler.text(_sheet(), "-bbox"))
    assert len(pages) > 5
    for page in pages[1:]:
        words = [word for top, word in WORD.findall(page) if float(top) < MARGIN]
        assert sorted(words) == sorted([*TITLE.split(), *settings.OPERATOR_NAME.split()])


def test_agreement_is_told_apart_from_secrets() -> None:
    secret = {entry.model: _table(entry.model).has_secrets for entry in inventory.ENTRIES}
    assert secret["accounts.User"]
    assert _table("dpa.Document").withheld
    assert not secret["dpa.Document"]


@pytest.mark.django_db
@pytest.mark.as_role("duty")
def test_customers_that_the_person_acts_for_are_named() -> None:
    anna = build.person("Anna", "Due")
    build.member(build.organisation("Duehuset ApS"), anna, Role.OWNER)
    found = _audiences(anna, [_table("accounts.Membership")], build.NOW)
    told = {one.category: one.names for one in found}
    assert told[str(Audience.ORGANISATION.label)] == ["Duehuset ApS"]


def _sheet() -> bytes:
    """Every table of the inventory has rows, and many recipients have long names."""
    with translation.override("da"):
        return documents.render(
            TEMPLATE, _context(), language="da", title=TITLE, identifier="x", issued_at=build.NOW
        )


def _context() -> dict[str, Any]:
    entries = inventory.entries_about(Whose.PERSON)
    names = ["Et meget langt navn på en modtager af oplysninger ApS, DK"] * 30
    return {
        "person": User(first_name="Anna", last_name="Due"),
        "request": Request(received_at=build.NOW),
        "received_on": build.NOW.date(),
        "kept": [_table(entry.model) for entry in entries],
        "audiences": [Audiences("en kategori af modtagere", names) for _ in range(4)],
        "stores": [store for store in inventory.STORES if store.is_personal],
        "settings": settings,
    }


def _table(model: str) -> Table:
    entry, extract = inventory.entry(model), Extract(subjects.person(User()))
    return Table(entry, extract.fields(entry), extract.withheld(entry), rows=3)
