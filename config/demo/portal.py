# SPDX-License-Identifier: AGPL-3.0-or-later
"""The portal as a customer uses it, without a screen: keeps cookies, reads and sends forms."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

from django.urls import reverse
from django.utils.translation import override
from django_otp.oath import TOTP

PATIENCE = 30.0  # seconds for one page
TOTP_SECONDS = 30


class FormMissing(Exception):
    """The page has no form of this address."""


class SignInFailed(Exception):
    """The portal does not let a person of the demo in."""


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

    def send(self, page: Page, path: str, **values: str | Sequence[str]) -> Page:
        """Fill in the page's form that goes to `path` and send it. Raises FormMissing."""
        for form in _forms(page):
            target = urljoin(page.url, form.action)
            if urlsplit(target).path == path:
                return self._ask(target, urlencode({**form.fields, **values}, doseq=True).encode())
        raise FormMissing(f"no form for {path} on {page.path}")

    def _ask(self, url: str, data: bytes | None = None) -> Page:
        with self._browser.open(url, data, timeout=PATIENCE) as answer:
            return Page(answer.geturl(), answer.read())


def signed_in(web: str, person: Mapping[str, str]) -> Portal:
    """Return a portal with a person of the demo signed in, second factor included.

    Raises SignInFailed, FormMissing.
    """
    portal = Portal(web)
    page = portal.get(path_of("accounts:sign-in"))
    page = portal.send(page, page.path, email=person["email"], password=person["password"])
    _give_token(portal, page, base64.b32decode(person["totp_secret"]))
    return portal


def _give_token(portal: Portal, page: Page, key: bytes) -> None:
    """A value is good for one use: what an earlier sign-in took is waited out."""
    path = path_of("accounts:second-factor")
    for _ in range(2):
        page = portal.send(page, path, token=f"{TOTP(key).token():06d}")
        if page.path != path:
            return
        time.sleep(TOTP_SECONDS - time.time() % TOTP_SECONDS)
    raise SignInFailed("the portal does not take the second factor")


def path_of(name: str, *arguments: object) -> str:
    """Return the path of a page in Danish, which has no prefix."""
    with override("da"):
        return reverse(name, args=arguments)


def has_form(page: Page, path: str) -> bool:
    """Return whether the page has a form that goes to `path`."""
    targets = (urljoin(page.url, form.action) for form in _forms(page))
    return any(urlsplit(target).path == path for target in targets)


def _forms(page: Page) -> list[Form]:
    reader = _Forms()
    reader.feed(page.content.decode())
    return reader.found
