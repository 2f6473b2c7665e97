# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lines about requests name the route; what stood in the address stays out of the log. One
setting says how much is written, in Celery as well."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from django.test import Client

from config.settings import BASE_DIR

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


# What `celery worker` and `celery beat` do before their first line.
AS_CELERY = """
import logging
from config.celery import app
app.loader.init_worker()
app.log.setup("WARNING", redirect_stdouts=True)
for level in ("debug", "info", "error"):
    getattr(logging.getLogger("celery.beat"), level)("beat says %s", level)
    getattr(logging.getLogger("celery.task.x"), level)("task says %s", level)
"""


@pytest.mark.parametrize(
    ("level", "said"),
    [("ERROR", ["error"]), ("INFO", ["info", "error"]), ("DEBUG", ["debug", "info", "error"])],
)
def test_celery_obeys_log_level(level: str, said: list[str]):
    environment = os.environ | {"LOG_LEVEL": level, "DATABASE_ROLE": "none"}
    answer = subprocess.run(
        [sys.executable, "-c", AS_CELERY],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    lines = [line.partition(" says ") for line in answer.stderr.splitlines() if " says " in line]
    assert [word for _, _, word in lines] == [word for word in said for _ in range(2)]
    assert all(" celery." in line for line, _, _ in lines)
