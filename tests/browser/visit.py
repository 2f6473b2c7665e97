# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person at a browser: fills in fields by name and presses buttons by their words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.translation import override
from django_otp.oath import TOTP
from playwright.sync_api import expect

from accounts import clock
from accounts.models import User
from tests import build
from tests.accounts.test_signup import letters
from tests.browser.window import Window

NEW = "fin-og-lang-77"
# Names of buttons and links, as (Danish, English).
WORDS = {
    "sign in": ("Log ind", "Sign in"),
    "send link": ("Send mig linket", "Send me the link"),
    "open account": ("Åbn min konto", "Open my account"),
    "save password": ("Gem min adgangskode", "Save my password"),
    "save new password": ("Gem den nye adgangskode", "Save the new password"),
    "go on": ("Fortsæt", "Go on"),
    "confirm": ("Bekræft", "Confirm"),
    "kept": ("Jeg har gemt dem", "I have kept them"),
    "sign out": ("Log ud", "Sign out"),
    "invite": ("Send invitationen", "Send the invitation"),
    "yes": ("Sig ja", "Say yes"),
    "let in": ("Luk ind", "Let in"),
    "remove": ("Fjern", "Remove"),
    "save": ("Gem", "Save"),
    "fill in": ("Udfyld den", "Fill it in"),
    "read agreement": ("Læs aftalen", "Read the agreement"),
    "to signing": ("Gå videre til underskrift", "Go on to signing"),
    "sign": ("Underskriv", "Sign"),
    "download signed": ("Hent den underskrevne PDF", "Download the signed PDF"),
    "check file": ("Efterprøv filen", "Check the file"),
    "add domain": ("Tilføj et domæne", "Add a domain"),
    "add": ("Tilføj", "Add"),
    "check now": ("Kontrollér nu", "Check now"),
    "new route": ("Ny rute", "New route"),
    "test": ("Test forbindelsen", "Test the connection"),
    "new credential": ("Ny adgang", "New credential"),
    "make credential": ("Opret adgangen", "Make the credential"),
    "kept secret": ("Jeg har gemt den", "I have kept it"),
    "new request": ("Ny anmodning", "New request"),
    "send request": ("Send anmodningen", "Send the request"),
    "download": ("Hent", "Download"),
    "erase": ("Slet min konto", "Erase my account"),
    "close it": ("luk den", "close it"),
    "close organisation": ("Luk organisationen", "Close the organisation"),
    "hand it over": ("giv den videre", "hand it over"),
    "invite somebody": ("Invitér en kollega", "Invite somebody"),
    "certificate": ("Hent sletteattesten", "Download the certificate of erasure"),
    "what erasure does": ("Hvad sletning gør", "What erasure does"),
    "pass on": ("Ja, giv det videre", "Yes, pass it on"),
    "mine": ("Ja, den er min", "Yes, it is mine"),
    "answer": ("Send svaret", "Send the answer"),
    "note it": ("Notér det", "Note it"),
    "enter": ("Indtast", "Enter"),
    "decide": ("Afgør", "Decide"),
}

Opened = Callable[[], "Visit"]


class Visit:
    def __init__(self, window: Window) -> None:
        self.window = window
        self.page = window.page

    def word(self, key: str) -> str:
        return self.says(WORDS[key])

    def says(self, words: tuple[str, str]) -> str:
        """Return which of the words, (Danish, English), the pages say here."""
        return words[self.window.look.language == "en"]

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.locator(f'[name="{name}"]').fill(value)

    def press(self, key: str) -> None:
        main = self.page.locator("main")
        main.get_by_role("button", name=self.word(key), exact=True).first.click()

    def follow(self, key: str) -> None:
        self.follow_exactly(self.word(key))

    def follow_exactly(self, name: str) -> None:
        self.page.locator("main").get_by_role("link", name=name, exact=True).first.click()

    def download(self, key: str) -> bytes:
        """Follow a link that gives a file; returns its bytes."""
        return self.download_by(lambda: self.follow(key))

    def download_by(self, act: Callable[[], None]) -> bytes:
        """Do what gives a file; returns its bytes."""
        with self.page.expect_download() as started:
            act()
        return started.value.path().read_bytes()

    def sees(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(text)

    def is_at(self, path: str) -> None:
        prefix = "" if self.window.look.language == "da" else "/en"
        expect(self.page).to_have_url(re.compile(re.escape(f"{prefix}{path}") + r"(\?.*)?$"))

    def sign_in(self, email: str, password: str) -> None:
        """By the form; the person has chosen the window's language, so the pages stay in it."""
        with build.as_owner():
            User.objects.filter(email=email).update(language=self.window.look.language)
        self.window.open("/sign-in/")
        self.fill(email=email, password=password)
        self.press("sign in")

    def follow_last_letter(self) -> None:
        self.follow_letter(letters()[-1])

    def follow_letter(self, letter: dict[str, Any]) -> None:
        """Open the first link of a mail, in the language of this window."""
        found = re.search(r"https?://[^/\s]+(?:/en)?(/\S+/)(?:\n|$)", letter["text"])
        assert found
        self.window.open(found[1])

    def check(self, name: str) -> None:
        self.window.check(f"journey-{name}")


def path(name: str, *arguments: object) -> str:
    """The path of a page in Danish, which has no prefix."""
    with override("da"):
        return reverse(name, args=arguments)


def app_value(secret: bytes) -> str:
    """What the authenticator app shows now."""
    totp = TOTP(secret)
    totp.time = clock.now().timestamp()
    return f"{totp.token():06d}"
