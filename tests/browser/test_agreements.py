# SPDX-License-Identifier: AGPL-3.0-or-later
"""An agreement from the first look to both signatures, and a check of the file that came out."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest
from django.db import connection
from playwright.sync_api import expect

from accounts import clock
from accounts.models import Organisation, User
from dpa import sealing
from dpa.models import Agreement
from tests import build
from tests.browser.window import Look, Window

# As (Danish, English).
READ = ("Læs aftalen", "Read the agreement")
GO_ON = ("Gå videre til underskrift", "Go on to signing")
PROVE = ("Fortsæt", "Go on")
SIGN = ("Underskriv", "Sign")
DOWNLOAD = ("Hent den underskrevne PDF", "Download the signed PDF")
CHECK = ("Efterprøv filen", "Check the file")
IN_FORCE = ("er i kraft", "is in force")
SIGNED = ("har underskrevet", "has signed")
GENUINE = ("netop det dokument, vi har", "the very document on file")
CHANGED = ("Noget er ændret", "Something was changed")
PATIENCE = 90_000  # ms; setting a document and a signature is work


# The whole way signs one too, on two other looks.
@pytest.fixture(params=["en-phone-dark", "da-desktop-light", "en-desktop-light", "da-phone-dark"])
def look(request: pytest.FixtureRequest) -> Look:
    return Look(*request.param.split("-"))


@pytest.fixture
def signatory(organisation: Organisation, anna: User, look: Look) -> User:
    with build.as_owner():
        named = {"address": "Dueslaget 7", "postcode": "8000", "city": "Aarhus C"}
        Organisation.objects.update(**named, vat_number="20000007", sending_allowed=False)
        User.objects.update(title="Direktør", language=look.language)
    return anna


def _countersign() -> None:
    """What the worker does every five seconds; apart, as Playwright's loop runs in this thread."""
    worker = Thread(target=_as_duty)
    worker.start()
    worker.join()


def _as_duty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE duty")
        sealing.countersign(clock.now())
    connection.close()


def test_agreement_is_read_signed_sealed_and_checked(
    window: Window, organisation: Organisation, signatory: User, tmp_path: Path
):
    english = window.look.language == "en"
    page, main = window.page, window.page.locator("main")
    page.set_default_timeout(PATIENCE)
    window.sign_in(signatory, organisation)
    window.open("/agreements/")
    window.check("journey-agreements-none")
    main.get_by_role("link", name=READ[english]).click()
    expect(main).to_contain_text("Bilag 3", timeout=PATIENCE)
    window.check("journey-agreement-text")
    main.get_by_role("button", name=GO_ON[english]).click()
    page.wait_for_url("**/second-factor/again/**")
    page.locator('[name="password"]').fill(build.PASSWORD)
    main.get_by_role("button", name=PROVE[english]).click()
    page.wait_for_url("**/sign/")
    window.check("journey-agreement-sign")
    for name in ("authority", "terms"):
        page.locator(f'[name="{name}"]').check()
    main.get_by_role("button", name=SIGN[english], exact=True).click()
    expect(main).to_contain_text(SIGNED[english], timeout=PATIENCE)
    window.check("journey-agreement-signed")
    _countersign()
    expect(main).to_contain_text(IN_FORCE[english], timeout=PATIENCE)
    window.check("journey-agreement-in-force")
    with page.expect_download() as started:
        main.get_by_role("link", name=DOWNLOAD[english]).click()
    file = tmp_path / "aftale.pdf"
    started.value.save_as(file)
    _check(window, file, GENUINE[english])
    window.check("journey-agreement-genuine")
    file.write_bytes(file.read_bytes() + b"%more\n")
    _check(window, file, CHANGED[english])
    window.check("journey-agreement-changed")
    window.open(f"/agreements/{_only()}/")
    window.check("journey-agreement-read")


def _check(window: Window, file: Path, words: str) -> None:
    window.open("/agreements/verify/")
    main = window.page.locator("main")
    window.page.locator('[name="file"]').set_input_files(file)
    main.get_by_role("button", name=CHECK[window.look.language == "en"]).click()
    expect(main).to_contain_text(words, timeout=PATIENCE)


def _only() -> object:
    with build.as_owner():
        return Agreement.objects.get().pk
