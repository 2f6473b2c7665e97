# SPDX-License-Identifier: AGPL-3.0-or-later
"""The pages on which a person brings a package along."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts import turns
from accounts.models import Organisation, User
from gdpr import bounded
from gdpr.forms import ImportForm
from gdpr.importing import reading
from gdpr.models import Import
from gdpr.views import imports as views
from tests import build
from tests.accounts.visiting import at, leads_to, open_contexts, visit
from tests.gdpr.importing import parcels

pytestmark = pytest.mark.django_db

NEW, PLAN = "gdpr:import", "gdpr:import-plan"


@pytest.fixture
def here(organisation: Organisation, anna: User) -> Client:
    return visit(anna)


def upload(client: Client, package: bytes) -> Any:
    file = SimpleUploadedFile("package.zip", package, "application/zip")
    return client.post(at(NEW), {"file": file})


def title(person: User) -> str:
    with build.as_owner():
        return User.objects.get(pk=person.pk).title


def test_upload_is_shown_and_then_taken(here: Client, anna: User) -> None:
    assert at(NEW) in here.get(at("gdpr:requests")).text
    assert here.get(at(NEW)).status_code == 200
    assert leads_to(upload(here, parcels.parcel()), PLAN)
    page = here.get(at(PLAN)).text
    for words in ("Direktør", "Is written", "Is kept beside", "Is so already", "2 records"):
        assert words in page
    assert title(anna) == ""
    assert leads_to(here.post(at(PLAN)), "accounts:profile")
    assert title(anna) == "Direktør"
    assert leads_to(here.post(at(PLAN)), NEW)


def test_forgotten_on_request(here: Client, anna: User) -> None:
    upload(here, parcels.parcel())
    assert leads_to(here.post(at("gdpr:import-discard")), "gdpr:requests")
    with build.as_owner():
        assert not Import.objects.exists()
    assert leads_to(here.get(at(PLAN)), NEW)


def test_markup_in_a_package_is_text(here: Client) -> None:
    odd = parcels.ANNA | {"title": "<script>alert(1)</script>"}
    upload(here, parcels.of({"accounts.User": [odd]}))
    assert "<script>alert" not in here.get(at(PLAN)).text


@pytest.mark.parametrize(
    ("package", "words"),
    [
        (b"nothing", "damaged"),
        (parcels.parcel(None, kind="access"), "not a portability package"),
        (parcels.parcel(None, version=9), "newer version"),
        (parcels.of({"accounts.User": [{"email": "x@y.example"}]}), "another e-mail address"),
        (b"", "empty"),
    ],
)
def test_refusal_says_why_beside_the_form(here: Client, package: bytes, words: str) -> None:
    answer = upload(here, package)
    assert answer.status_code == 200
    assert words in answer.text
    assert 'type="file"' in answer.text


def test_form_that_is_too_long_is_not_read(here: Client) -> None:
    answer = upload(here, b"\0" * settings.FILE_UPLOAD_MAX_MEMORY_SIZE)
    assert "more in it" in answer.text


def test_no_transaction_waits_for_the_upload_or_for_its_reader(
    here: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    around, run, form = list[tuple[str, str, str]](), bounded.run, ImportForm

    def sent(*values: Any) -> ImportForm:
        around.append(open_contexts())
        return form(*values)

    def noted(*values: Any, **named: Any) -> bytes:
        around.append(open_contexts())
        return run(*values, **named)

    monkeypatch.setattr(views, "ImportForm", sent)
    monkeypatch.setattr(bounded, "run", noted)
    assert leads_to(upload(here, parcels.parcel()), PLAN)
    assert around == [("", "", "web")] * 2


def test_who_belongs_to_nothing_brings_data_along_as_well(anna: User) -> None:
    here = visit(anna)
    assert here.get(at(NEW)).status_code == 200
    assert "damaged" in upload(here, b"nothing").text
    assert leads_to(upload(here, parcels.parcel()), PLAN)


def test_two_are_read_at_once_and_no_third(here: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_ask", lambda sql, lock: False)
    answer = upload(here, parcels.parcel())
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(reading.BUSY_SECONDS)
    assert "being read just now" in answer.text


def test_restricted_account_brings_nothing_in(here: Client, anna: User) -> None:
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(restricted_at=build.NOW)
    assert leads_to(here.get(at(NEW)), "gdpr:erasure")
