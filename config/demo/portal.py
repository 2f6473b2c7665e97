# SPDX-License-Identifier: AGPL-3.0-or-later
"""The portal as a customer uses it, without a screen: keeps cookies, reads and sends forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

PATIENCE = 30.0  # seconds for one page


class FormMissing(Exception):
    """The page has no form of this address."""


@dataclass(frozen=True, slots=True)
class Page:
    url: str
    content: bytes = field(repr=False)

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


@dataclass(slots=True)
class Form:
    """Where it goes, and the fields that are filled in already."""

    action: str
    fields: dict[str, str] = field(default_factory=dict, repr=False)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
        elif tag == "input" and self.found and _is_sent(given):
            self.found[-1].fields[given["name"]] = given.get("value", "")


def _is_sent(given: dict[str, str]) -> bool:
    ticked = given.get("type") not in ("checkbox", "radio") or "checked" in given
    return ticked and bool(given.get("name"))


class Portal:
    """One browser. Raises urllib.error.HTTPError for an answer of 400 and up."""

    def __init__(self, web: str) -> None:
        self._web = web
        self._browser = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> Page:
        return self._ask(urljoin(self._web, path))

    def send(self, page: Page, path: str, **values: str | list[str]) -> Page:
        """Fill in the page's form that goes to `path` and send it. Raises FormMissing."""
        for form in _forms(page):
            target = urljoin(page.url, form.action)
            if urlsplit(target).path == path:
                return self._ask(target, urlencode({**form.fields, **values}, doseq=True).encode())
        raise FormMissing(f"no form for {path} on {page.path}")

    def _ask(self, url: str, data: bytes | None = None) -> Page:
        with self._browser.open(url, data, timeout=PATIENCE) as answer:
            return Page(answer.geturl(), answer.read())


def has_form(page: Page, path: str) -> bool:
    """Return whether the page has a form that goes to `path`."""
    targets = (urljoin(page.url, form.action) for form in _forms(page))
    return any(urlsplit(target).path == path for target in targets)


def _forms(page: Page) -> list[Form]:
    reader = _Forms()
    reader.feed(page.content.decode())
    return reader.found
