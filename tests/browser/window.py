# SPDX-License-Identifier: AGPL-3.0-or-later
"""A browser window of one size, theme and language that keeps what pages complain about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from accounts.models import Organisation, User
from tests import build

SCREENSHOTS = Path(settings.BASE_DIR) / "var" / "screenshots"
PATIENCE = 90_000  # ms; nothing here is about how fast a page comes
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
WATCH_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
});
"""
# Wide tables scroll inside their own box; the page itself never scrolls sideways.
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True, slots=True)
class Look:
    language: str = "da"
    size: str = "desktop"
    theme: str = "light"

    def __str__(self) -> str:
        return f"{self.language}-{self.size}-{self.theme}"


class Window:
    def __init__(self, browser: Browser, site: str, look: Look) -> None:
        self.site = site
        self.look = look
        self.complaints: list[str] = []
        self._expected_status = 200
        width, height = SIZES[look.size]
        self._context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if look.theme == "dark" else "light",
            locale="da-DK" if look.language == "da" else "en-GB",
            reduced_motion="reduce",
        )
        self._context.set_default_timeout(PATIENCE)
        self._context.add_init_script(WATCH_POLICY)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        # A page of refusal is announced as a failed load; the status is checked by itself.
        expected = self._expected_status >= 400 and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(f"{message.type}: {message.text}")

    def close(self) -> None:
        self._context.close()

    def sign_in(self, user: User, organisation: Organisation | None = None) -> None:
        """Come in by a session made in the database, second factor included when there is one."""
        key = build.session(user, organisation)
        self._context.add_cookies([{"name": "sessionid", "value": key, "url": self.site}])

    def open(self, path: str, status: int = 200) -> Response:
        """Open a path without language prefix in the window's language."""
        prefix = "" if self.look.language == "da" else f"/{self.look.language}"
        self._expected_status = status
        response = self.page.goto(f"{self.site}{prefix}{path}", wait_until="load")
        assert response is not None
        assert response.status == status, f"{response.status} at {self.page.url}"
        return response

    def check(self, name: str) -> None:
        """Look at the open page: language, width, accessibility; and keep a screenshot."""
        self._keep_screenshot(name)
        assert self.page.get_attribute("html", "lang") == self.look.language
        assert self.page.evaluate(SIDEWAYS) <= 0, "the page scrolls sideways"
        found = violations(self.page)
        assert not found, found

    def _keep_screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self.look}.png", full_page=True)


def violations(page: Page) -> list[Any]:
    """Return what axe-core finds: rule, and the elements it is about."""
    # Preloading writes the sheets that an @import names into the page, which its policy refuses;
    # only an experimental rule, about the way a phone is held, would read them.
    found = Axe().run(page, options={"preload": False}).response["violations"]
    return [
        (violation["id"], [node["target"] for node in violation["nodes"]]) for violation in found
    ]
