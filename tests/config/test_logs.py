# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lines about requests name the route; what stood in the address stays out of the log."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the console handler of the settings writes."""
    written: list[str] = []
    (handler,) = (h for h in logging.getLogger().handlers if h.name == "console")
    monkeypatch.setattr(handler, "emit", lambda record: written.append(record.getMessage()))
    return written


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/invitation/a-secret/", "Not Found: invitation/<str:token>/"),
        ("/anna@due.example/", "Not Found: (no such page)"),
    ],
)
def test_refused_request_is_logged_by_its_route(
    path: str, line: str, client: Client, lines: list[str]
):
    assert client.get(path).status_code == 404
    assert lines == [line]


def test_form_without_token_is_logged_by_its_route(lines: list[str]):
    assert Client(enforce_csrf_checks=True).post("/password/forgotten/a-secret/").status_code == 403
    assert lines == ["Forbidden (CSRF cookie not set.): password/forgotten/<str:token>/"]


def test_other_lines_pass_untouched(lines: list[str]):
    logging.getLogger("relay").warning("%s of %s", 1, 2)
    assert lines == ["1 of 2"]
