# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the public form over the link in a mail to the organisation's inbox, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from playwright.sync_api import expect
from redis import Redis

from accounts import clock
from accounts.models import Organisation, User
from gdpr.enquiries.forms import OFFERED
from gdpr.models import ForwardedRequest, Right
from tests import build
from tests.browser.answering import on
from tests.browser.moving import go_to, moved_clock
from tests.browser.visit import Opened, Visit, path
from tests.browser.window import Look, Window
from tests.gdpr.enquiries.desk import ERIK, forwarded, mails, owns, tokens, work

LOOKS = [Look("da", "phone", "light"), Look("en", "desktop", "dark")]


@pytest.fixture(autouse=True)
def _no_counts() -> Iterator[None]:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


def ask(window: Window, *rights: Right) -> None:
    window.open("/privacy/request/")
    page = window.page
    page.fill("[name=address]", ERIK)
    for right in rights:
        page.check(f"[name=rights][value={right}]")
    page.check("[name=whom][value=sender]")
    page.fill("[name=sender]", "due.example")
    page.fill("[name=words]", "Jeg har aldrig handlet hos jer.")
    page.click("main form button[type=submit]")
    page.wait_for_url("**/sent/")


def confirm(window: Window) -> None:
    work(clock.now())
    window.open(f"/privacy/request/{tokens()[-1]}/")
    window.page.click("main form button[type=submit]")
    window.page.wait_for_load_state("load")


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_request_goes_from_the_form_to_the_inbox(
    window: Window, organisation: Organisation, anna: User
) -> None:
    owns(organisation, "due.example")
    ask(window, *OFFERED)
    window.check("enquiry-sent-asked")
    confirm(window)
    window.check("enquiry-confirmed")
    work(clock.now() + timedelta(hours=1))
    (row,) = forwarded()
    assert row.rights == sorted(OFFERED)
    assert [mail["to"] for mail in mails("enquiry")] == [ERIK, ERIK]
    window.sign_in(anna, organisation)
    window.open("/privacy/inbox/")
    window.check("inbox-filled")
    (told,) = mails("request_forwarded")
    link = next(word for word in told["text"].split() if "/inbox/" in word)
    window.page.goto(window.site + urlsplit(link).path)
    assert ERIK in window.page.inner_text("main")
    window.open(f"/privacy/inbox/{row.id}/")
    window.page.check("[name=what][value=refused]")
    window.page.click("main form.form button[type=submit]")
    window.page.wait_for_load_state("load")
    window.check("inbox-request-without-reasons")
    window.page.check("[name=what][value=answered]")
    window.page.click("main form.form button[type=submit]")
    window.page.wait_for_load_state("load")
    window.check("inbox-request-answered")
    assert forwarded()[0].state == ForwardedRequest.State.ANSWERED


REASONS = "There are many folders in the store."
# As (Danish, English).
DUE = ("20. december 2026 (30 dage tilbage)", "20 December 2026 (30 days left)")
LAST = ("20. december 2026 (i dag)", "20 December 2026 (today)")
LAST_IN_LIST = ("20.12.2026 (i dag)", "20 Dec 2026 (today)")
LONGER = ("20. februar 2027 (62 dage tilbage)", "20 February 2027 (62 days left)")
LIMIT = ("22. februar 2027 (forlænget)", "22 February 2027 (extended)")
LATE = ("20. februar 2027 (for sent)", "20 February 2027 (too late)")
LATE_IN_LIST = ("20.02.2027 (for sent)", "20 Feb 2027 (too late)")
BROKEN = ("løftet er brudt", "promise broken")
ANSWERED = ("besvaret", "answered")


@pytest.fixture
def _calendar() -> Iterator[None]:
    with moved_clock():
        go_to(build.NOW)
        yield


@pytest.mark.usefixtures("_calendar")
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_clock_runs_in_the_inbox_until_it_is_answered(
    opened: Opened, organisation: Organisation, anna: User, dorte: User, look: Look
) -> None:
    """Received on a Friday, 20 November 2026; nothing makes this clock stand still."""
    here, desk = opened(), opened()
    _is_asked(here, organisation)
    _signs_in(here, anna, organisation)
    build.second_factor(dorte)
    desk.window.sign_in(dorte)
    _sees(here, DUE)
    on(datetime(2026, 12, 20, 12, tzinfo=UTC))
    _sees(here, LAST, in_list=LAST_IN_LIST)
    _is_alarmed(desk)
    _notes(here, "extend", REASONS)
    here.sees(here.says(LONGER))
    here.sees(here.says(LIMIT))
    here.check("inbox-extended")
    on(datetime(2027, 2, 21, 12, tzinfo=UTC))
    _sees(here, LATE, in_list=LATE_IN_LIST)
    here.check("inbox-overdue")
    assert here.says(BROKEN) in mails("forwarded_due")[-1]["text"]
    _is_alarmed(desk)
    _notes(here, "answered")
    expect(here.page.locator("main").get_by_text(here.says(ANSWERED), exact=True)).to_be_visible()
    on(clock.now())
    _is_alarmed(desk, times=0)


def _is_asked(erik: Visit, organisation: Organisation) -> None:
    owns(organisation, "due.example")
    ask(erik.window, Right.ERASURE)
    confirm(erik.window)
    work(clock.now() + timedelta(hours=1))


def _signs_in(here: Visit, anna: User, organisation: Organisation) -> None:
    with build.as_owner():
        User.objects.filter(pk=anna.pk).update(language=here.window.look.language)
    here.window.sign_in(anna, organisation)


def _sees(here: Visit, words: tuple[str, str], *, in_list: tuple[str, str] | None = None) -> None:
    """Anna goes to the one request by the list of all, and sees the clock on both pages."""
    here.window.open(path("gdpr:inbox"))
    if in_list:
        here.sees(here.says(in_list))
    here.follow_exactly(forwarded()[0].reference)
    here.sees(here.says(words))


def _notes(here: Visit, what: str, reason: str = "") -> None:
    here.page.locator(f'[name="what"][value="{what}"]').check()
    here.fill(reason=reason)
    here.press("note it")


def _is_alarmed(desk: Visit, *, times: int = 1) -> None:
    """Staff see on every page that an organisation does not answer."""
    desk.window.open(path("admin:index"))
    told = desk.page.locator("main").get_by_text("forwarded-unanswered")
    expect(told).to_have_count(times)


@pytest.mark.parametrize("look", LOOKS[:1], ids=str)
def test_what_is_missing_is_shown_beside_its_field(window: Window) -> None:
    window.open("/privacy/request/")
    window.page.click("main form button[type=submit]")
    window.page.wait_for_load_state("load")
    window.check("enquiry-wrong")
