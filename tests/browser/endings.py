# SPDX-License-Identifier: AGPL-3.0-or-later
"""How each right ends, from what staff press to what the person finds on the page and in the mail.

The ends differ, so that each kind of answer is seen: done, done in part, refused, a package, a
certificate.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import partial

from playwright.sync_api import expect

from accounts import clock
from accounts.models import User
from gdpr import tasks
from gdpr.erasing import run
from gdpr.models import RequestedRight, Right
from gdpr.rights import erasure
from relay.models import Review
from tests import build, poppler
from tests.browser.answering import DECIDED, Case, Channel, Words, on, work
from tests.browser.visit import path

State = RequestedRight.State

WHY = "The law obliges us to keep what is older."
ANSWER = ("Svaret på din anmodning", "The answer to your request")
READY = ("Dine data er klar", "Your data are ready")
STATES: dict[State, Words] = {
    State.DONE: ("gjort", "done"),
    State.PARTLY_DONE: ("delvist udført", "partly done"),
    State.REFUSED: ("afvist", "refused"),
}
LIFTED = ("afsendelsen fortsætter", "sending goes on")
CANCELLABLE = ("Indtil da kan du fortryde", "Until then you can cancel")
ERASED = ("Din konto er slettet", "Your account is erased")


def is_answered(case: Case, state: State, subject: Words = ANSWER) -> None:
    """The person has a letter, and sees what became of it."""
    case.has_letter(subject)
    case.sees_request()
    word = case.here.says(STATES[state])
    expect(case.here.page.locator("main").get_by_text(word, exact=True)).to_be_visible()
    case.here.check(f"right-{state}")


def carried_out(case: Case, state: State) -> None:
    case.decides("act")
    case.decides(state, "" if state == State.DONE else WHY)
    is_answered(case, state)


def refused(case: Case) -> None:
    """With reasons, in the mail and in the sealed letter on the page."""
    case.decides("refused", WHY)
    is_answered(case, State.REFUSED)
    here = case.here
    here.sees(WHY)
    sealed = here.download_by(lambda: here.follow_exactly(here.says(ANSWER)))
    assert WHY in poppler.words(sealed)


def packed(case: Case) -> None:
    case.decides("act")
    # Ordered now where staff took it over before the worker had begun.
    work(tasks.take_further)
    work(tasks.pack)
    is_answered(case, State.DONE, READY)
    here = case.here
    here.follow("download")
    here.is_at("/second-factor/again/")
    here.fill(password=build.PASSWORD)
    with zipfile.ZipFile(io.BytesIO(here.download_by(lambda: here.press("go on")))) as package:
        assert "manifest.json" in package.namelist()
        everything = b"".join(map(package.read, package.namelist()))
    assert case.person.email.encode() in everything


def corrected(case: Case) -> None:
    """What is written in the portal's form is accepted; of a letter staff do what it says."""
    if case.channel != Channel.PORTAL:
        carried_out(case, State.DONE)
        return
    case.decides("accept")
    is_answered(case, State.DONE)


def looked_at(case: Case) -> None:
    """A person lets the mail go on that figures have stopped."""
    carried_out(case, State.DONE)
    with build.as_owner():
        stopped = Review.objects.get()
    case.here.window.open(path("relay:review", stopped.pk))
    case.here.sees(case.here.says(LIFTED))


def erased(case: Case) -> None:
    """At once where the person asked in the portal, long ago by now; else after two people's yes
    and the time to think.
    """
    if case.channel == Channel.PORTAL:
        case.decides("act")
    else:
        approved_by_another(case)
        think_it_over(case)
    work(_carry_out)
    case.has_letter(ERASED)
    case.here.follow_letter(case.letter())
    certificate = poppler.words(case.here.download("certificate"))
    assert case.person.last_name not in certificate
    with build.as_owner():
        assert not User.objects.filter(pk=case.person.pk).exists()


def approved_by_another(case: Case) -> None:
    """The worker asks for it within the minute, where it has not yet."""
    work(tasks.take_further)
    eva = build.person("Eva", "Enig", is_staff=True, is_superuser=True)
    build.second_factor(eva)
    desk = case.desk
    desk.window.sign_in(eva)
    desk.window.open(path("admin:gdpr_approval_changelist"))
    desk.page.locator('[name="_selected_action"]').check()
    desk.page.locator('[name="action"]').select_option("approve")
    desk.page.locator('[name="index"]').click()
    desk.sees(desk.says(DECIDED))


def _carry_out() -> None:
    for erasure_id in run.due(clock.now()):
        assert run.carry_out(erasure_id, clock.now())


def think_it_over(case: Case) -> None:
    """What goes is counted within the minute; the person, signed out by it, can come back."""
    work(tasks.take_further)
    work(lambda: run.draw_up_plans(clock.now()))
    here = case.here
    here.window.sign_in(case.person)
    here.window.open(path("gdpr:erasure"))
    here.sees(here.says(CANCELLABLE))
    here.check("right-cancellable")
    on(clock.now() + erasure.COOL_DOWN)


ENDINGS: dict[Right, Callable[[Case], None]] = {
    Right.ACCESS: packed,
    Right.PORTABILITY: packed,
    Right.RECTIFICATION: corrected,
    Right.ERASURE: erased,
    Right.RESTRICTION: partial(carried_out, state=State.PARTLY_DONE),
    Right.OBJECTION: refused,
    Right.REVIEW: looked_at,
}
