# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the public form over the link in a mail to the organisation's inbox, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from redis import Redis

from accounts import clock
from accounts.models import Organisation, User
from gdpr.enquiries.forms import OFFERED
from gdpr.models import ForwardedRequest, Right
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


@pytest.mark.parametrize("look", LOOKS[:1], ids=str)
def test_what_is_missing_is_shown_beside_its_field(window: Window) -> None:
    window.open("/privacy/request/")
    window.page.click("main form button[type=submit]")
    window.page.wait_for_load_state("load")
    window.check("enquiry-wrong")
