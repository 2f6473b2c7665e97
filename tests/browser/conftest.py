# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real browser on the running portal; what it complains about fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from coverage import Coverage
from django.conf import settings
from playwright.sync_api import Browser, Playwright, expect, sync_playwright
from pytest_django import DjangoDbBlocker

from accounts import limits
from tests.browser.matrix import leave_to_full
from tests.browser.portal import running_portal
from tests.browser.visit import Opened, Visit
from tests.browser.window import PATIENCE, Look, Window

# The same engine without the windows, menus and processes around it, which took half the time.
PROGRAM = "chromium-headless-shell"
CHROMIUM = shutil.which(PROGRAM)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Before pytest leaves out what the chosen marks do not name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    mine = [item for item in items if str(item.path).startswith(here)]
    for item in mine:
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.django_db(transaction=True))
        if CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason=f"not run: {PROGRAM} is not installed"))
    leave_to_full(mine)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright's loop runs in this thread until the module is done: other tests start their own.
    # The ORM is still used from one thread only.
    with (
        _unmeasured(),
        pytest.MonkeyPatch.context() as patch,
        sync_playwright() as playwright,
    ):
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=PATIENCE)
        browser = _launch(playwright)
        yield browser
        browser.close()


@contextmanager
def _unmeasured() -> Iterator[None]:
    """Playwright changes stacks, and to follow that would slow coverage of all other tests.

    The portal is a process of its own and measured as such.
    """
    measuring = Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    yield
    measuring.start()


def _launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture(scope="session")
def portal(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The address of the running portal."""
    with django_db_blocker.unblock(), running_portal() as site:
        yield site


@pytest.fixture(autouse=True)
def _no_old_counts() -> None:
    """All windows have one address, and tests name the same people again and again."""
    redis = limits._redis(settings.REDIS_URL)
    for key in redis.scan_iter("limit:*"):
        redis.delete(key)


@pytest.fixture
def site(portal: str) -> str:
    """Where the windows go; a test that starts a portal of its own gives that one."""
    return portal


@pytest.fixture
def look() -> Look:
    """How the window is; a test that walks the matrix gives its own."""
    return Look()


@pytest.fixture
def window(chromium: Browser, site: str, look: Look) -> Iterator[Window]:
    """A browser window; closing it fails when the page complained about anything."""
    opened = Window(chromium, site, look)
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def opened(chromium: Browser, site: str, look: Look) -> Iterator[Opened]:
    """Open browsers of several people; none of their pages may complain."""
    windows: list[Window] = []
    with ExitStack() as closing:

        def open_one() -> Visit:
            window = Window(chromium, site, look)
            windows.append(window)
            closing.callback(window.close)
            return Visit(window)

        yield open_one
    assert [complaint for window in windows for complaint in window.complaints] == []
