# SPDX-License-Identifier: AGPL-3.0-or-later
"""The frame around every page: language by address, policy, no cookie for who only reads."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.utils.formats import date_format
from django.utils.translation import override

from config.csp import POLICY
from tests import build

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("path", "language"), [("/", "da"), ("/en/", "en")])
def test_landing_speaks_the_language_of_its_address(path: str, language: str, client: Client):
    response = client.get(path, headers={"accept-language": "en"})
    assert response.status_code == 200
    assert f'<html lang="{language}">' in response.text


def test_reading_pages_set_no_cookie(client: Client):
    for path in ("/", "/en/", "/nothing-here/", "/healthz"):
        assert not client.get(path).cookies


def test_every_response_carries_the_policy(client: Client):
    for path in ("/", "/nothing-here/", "/healthz"):
        assert client.get(path).headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY


def test_unknown_address_says_what_to_do(client: Client):
    response = client.get("/en/nothing-here/")
    assert response.status_code == 404
    assert "There is nothing at this address" in response.text


def test_fault_page_needs_no_database(client: Client, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("config.home.render", fail)
    client.raise_request_exception = False
    response = client.get("/en/")
    assert response.status_code == 500
    assert "Something went wrong at our end" in response.text


def test_health_needs_nothing(client: Client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/healthz").content == b"ok\n"


def test_ready_names_its_parts(client: Client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "database": True,
        "broker": True,
        "queue_age_seconds": 0,
    }


def test_old_mail_is_told_and_leaves_the_portal_ready(client: Client, everything: None):
    with build.as_owner(), connection.cursor() as cursor:
        cursor.execute("UPDATE relay_queueddelivery SET due_at = now() - interval '1 hour'")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)
    assert response.json()["queue_age_seconds"] >= 3600


def test_ready_without_broker_says_so(client: Client, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/readyz")
    assert (response.status_code, response.json()["broker"]) == (503, False)


def test_english_dates_cannot_be_misread():
    with override("en"):
        assert date_format(build.NOW, "SHORT_DATETIME_FORMAT") == "20 Nov 2026 12:00"
