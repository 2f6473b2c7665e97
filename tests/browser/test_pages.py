# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each page once in each language, size and theme alternating; the full matrix on demand."""

from __future__ import annotations

from itertools import product

import pytest

from accounts.models import Organisation
from tests.browser.pages import PAGES, Page
from tests.browser.window import Look, Window

ALTERNATING = (("desktop", "light"), ("phone", "dark"), ("phone", "light"), ("desktop", "dark"))


def _cases() -> list[object]:
    cases: list[object] = []
    for number, page in enumerate(PAGES):
        quick = {
            Look(language, *ALTERNATING[(number * 2 + turn) % 4])
            for turn, language in enumerate(("da", "en"))
        }
        for every in product(("da", "en"), ("desktop", "phone"), ("light", "dark")):
            look = Look(*every)
            marks = () if look in quick else (pytest.mark.full,)
            cases.append(pytest.param(page, look, marks=marks, id=f"{page.name}-{look}"))
    return cases


@pytest.mark.parametrize(("page", "look"), _cases())
def test_page(
    page: Page, window: Window, organisation: Organisation, request: pytest.FixtureRequest
):
    if page.who != "nobody":
        window.sign_in(request.getfixturevalue(page.who), organisation)
    window.open(page.path, page.status)
    window.check(page.name)
