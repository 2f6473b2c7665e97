# SPDX-License-Identifier: AGPL-3.0-or-later
"""How one asks by each channel: in the portal, by the public form, by a letter that staff enter.

However it was asked, it is proven afterwards who asks, and the person is signed in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from gdpr import tasks
from gdpr.forms import EXPLAINED, OTHER
from gdpr.models import Right
from tests import build
from tests.browser import moving
from tests.browser.answering import Case, Channel, work
from tests.browser.visit import path

RECEIVED = build.NOW
# Letters are opened some days after they came.
ENTERED = RECEIVED + timedelta(days=4)
WORDS = "Jeg hedder Krogh med h."
# As (Danish, English).
IS_RECEIVED = ("Modtaget. Her ser du", "Received. Here you see")
IS_ENTERED = ("Indtastet.", "Entered.")
IS_CONFIRMED = ("Bekræftet", "Confirmed")
THANKS = ("Tak", "Thank you")


def in_the_portal(case: Case) -> None:
    here = case.here
    here.window.sign_in(case.person)
    here.window.open(path("gdpr:requests"))
    here.follow("new request")
    here.is_at("/second-factor/again/")
    here.fill(password=build.PASSWORD)
    here.press("go on")
    here.page.locator(f'[name="rights"][value="{case.right}"]').check()
    if case.right in EXPLAINED:
        here.fill(**{str(case.right): WORDS})
    if case.right == Right.RECTIFICATION:
        here.page.locator('[name="field"]').select_option(OTHER)
        here.fill(value=WORDS)
    here.press("send request")
    here.sees(here.says(IS_RECEIVED))


def by_the_form(case: Case) -> None:
    """As somebody who does not want to sign in; the answer leaves at the next full hour."""
    here = case.here
    here.window.open(path("gdpr:enquiry"))
    here.fill(address=case.person.email, words=WORDS)
    here.page.locator(f'[name="rights"][value="{case.right}"]').check()
    here.page.locator('[name="whom"][value="ourselves"]').check()
    here.press("send request")
    here.is_at(path("gdpr:enquiry-sent"))
    work(tasks.pass_on_enquiries)
    here.follow_letter(case.letter())
    here.press("pass on")
    here.sees(here.says(IS_CONFIRMED))
    moving.go_to(RECEIVED + timedelta(hours=1))
    work(tasks.pass_on_enquiries)
    here.window.sign_in(case.person)


def by_letter(case: Case) -> None:
    """Staff open it days later, and mail the person a link to find out whether it is theirs."""
    moving.go_to(ENTERED)
    desk, here = case.desk, case.here
    desk.window.open(path("admin:gdpr_requestedright_enter"))
    # The clock on the wall in Copenhagen.
    desk.fill(received_at="2026-11-20T13:00", address=case.person.email, words=WORDS)
    desk.page.locator('[name="language"]').select_option(here.window.look.language)
    desk.page.locator(f'[name="rights"][value="{case.right}"]').check()
    desk.press("enter")
    desk.sees(desk.says(IS_ENTERED))
    case.is_decided("link")
    here.follow_letter(case.letter())
    here.press("mine")
    here.sees(here.says(THANKS))
    work(tasks.take_further)
    here.window.sign_in(case.person)


ASKING: dict[Channel, Callable[[Case], None]] = {
    Channel.PORTAL: in_the_portal,
    Channel.FORM: by_the_form,
    Channel.STAFF: by_letter,
}
