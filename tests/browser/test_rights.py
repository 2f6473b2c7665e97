# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each right by each channel as people and staff see it on their pages: due, paused, extended,
overdue, answered. What the rows say meanwhile is in tests/gdpr/test_clock_journeys.py.

What is expected of the dates is counted by hand: received on 20 November 2026, a Friday.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import expect
from redis import Redis

from accounts.models import Consent, Organisation, Role, User
from gdpr import tasks
from gdpr.courses import PACKED
from gdpr.models import RequestedRight, Right
from tests import build, poppler
from tests.browser.answering import Case, Channel, Words, on, work
from tests.browser.channels import ASKING, RECEIVED, WORDS
from tests.browser.endings import ENDINGS, is_answered
from tests.browser.moving import go_to, moved_clock
from tests.browser.visit import Opened, path
from tests.browser.window import Look
from tests.gdpr.erasing.seeds import consent_of
from tests.guards.places import a_review

State = RequestedRight.State

# What was stopped is an organisation's mail, whose people have the portal: the form does not offer
# to have it looked at. A consent is withdrawn in the act of asking, so that no clock is ever seen.
WITH_CLOCKS = [
    (channel, right)
    for channel, right in product(Channel, Right)
    if right != Right.CONSENT and (channel, right) != (Channel.FORM, Right.REVIEW)
]
# One right by each channel; the others are part of the full matrix.
QUICK = {
    (Channel.PORTAL, Right.OBJECTION): Look("da", "phone", "light"),
    (Channel.FORM, Right.ACCESS): Look("en", "desktop", "dark"),
    (Channel.STAFF, Right.RECTIFICATION): Look("da", "desktop", "light"),
    (Channel.PORTAL, Right.CONSENT): Look("en", "phone", "dark"),
}
OTHERS = (Look("da", "desktop", "light"), Look("en", "phone", "light"))
QUESTION = "Which years is it about, 2024 or 2025?"
REASONS = "There are many folders in the store."

PROMISED = ("Lovet senest", "Promised by")
LIMIT = ("Lovens frist", "The law's limit")
TODAY = ("i dag", "today")
EXTENDED = ("forlænget", "extended")
TOO_LATE = ("for sent", "too late")
SORRY = ("Svaret er forsinket", "The answer is late")
AWAITING = ("afventer dig", "awaiting you")
STANDS_STILL = ("står tiden stille", "the clock stands still")
STILL = ("står stille", "stands still")
THANKS = ("Tak. Fristen løber videre.", "Thank you. The clock runs on.")
MAIL_ASKS = ("Et spørgsmål om din anmodning", "A question about your request")
MAIL_WAITS = ("Vores frist står stille", "Our time stands still")
MAIL_REMINDS = ("Vi venter på dit svar", "We wait for your answer")
MAIL_EXTENDS = ("tager længere tid", "takes longer")
LONGER = ("Din anmodning tager længere tid", "Your request takes longer")
LAST_DAYS = ("de sidste dage", "the last days")
BROKEN = ("løftet er brudt", "promise broken")
NO_CONSENTS = ("Du har ikke sagt ja til noget her.", "You have said yes to nothing here.")
MONTHS = {
    1: ("januar", "January"),
    2: ("februar", "February"),
    3: ("marts", "March"),
    12: ("december", "December"),
}


def day(year: int, month: int, number: int) -> datetime:
    """One o'clock in the afternoon of a winter's day in Copenhagen."""
    return datetime(year, month, number, 12, tzinfo=UTC)


def named(at: datetime) -> Words:
    danish, english = MONTHS[at.month]
    return f"{at.day}. {danish} {at.year}", f"{at.day} {english} {at.year}"


def left(days: int) -> Words:
    return f"{days} dage tilbage", f"{days} days left"


def _params(each: Sequence[tuple[Channel, Right]]) -> list[object]:
    return [
        pytest.param(
            *one,
            QUICK.get(one, OTHERS[number % 2]),
            id="-".join(one),
            marks=() if one in QUICK else (pytest.mark.full,),
        )
        for number, one in enumerate(each)
    ]


@pytest.fixture(autouse=True)
def _calendar(tmp_path: Path, settings) -> Iterator[None]:
    """The day of the receipt, and nothing counted or erased before it."""
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures")
    with Redis.from_url(settings.REDIS_URL) as redis, moved_clock():
        redis.flushdb()
        go_to(RECEIVED)
        yield
        redis.flushdb()


@pytest.fixture
def case(
    opened: Opened,
    organisation: Organisation,
    dorte: User,
    channel: Channel,
    right: Right,
    look: Look,
) -> Case:
    """Bo works for an organisation, a domain of which was stopped, and gets the newsletter."""
    bo = build.person("Bo", "Krog", language=look.language)
    build.member(organisation, bo, Role.DEVELOPER)
    build.second_factor(dorte)
    with build.as_owner():
        a_review(organisation)
        Consent.objects.create(**consent_of(bo, build.NOW))
    made = Case(channel, right, bo, here=opened(), desk=opened())
    made.desk.window.sign_in(dorte)
    return made


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("channel", "right", "look"), _params(WITH_CLOCKS))
def test_clock_is_seen_to_the_answer(case: Case) -> None:
    ASKING[case.channel](case)
    on(day(2026, 11, 24))
    if _runs_by_itself(case):
        case.decides("assess")
    is_due(case)
    is_paused(case)
    is_extended(case)
    is_overdue(case)
    ENDINGS[case.right](case)


def _runs_by_itself(case: Case) -> bool:
    return case.right in PACKED or (case.channel, case.right) == (Channel.PORTAL, Right.ERASURE)


def is_due(case: Case) -> None:
    sees_clock(case, day(2026, 12, 20), day(2026, 12, 21), left(26))
    case.here.check("right-due")
    staff_see(case, ("26 dage", "26 days"))


def is_paused(case: Case) -> None:
    """Both dates move day by day until the person, who is reminded once, has answered."""
    here = case.here
    on(day(2026, 11, 25))
    case.decides("paused", QUESTION)
    case.has_letter(MAIL_ASKS, QUESTION, here.says(MAIL_WAITS))
    sees_clock(case, day(2026, 12, 20), day(2026, 12, 21), left(25))
    here.sees(QUESTION)
    here.sees(here.says(AWAITING))
    here.sees(here.says(STANDS_STILL))
    here.check("right-paused")
    on(day(2026, 11, 30))
    sees_clock(case, day(2026, 12, 25), day(2026, 12, 28), left(25))
    staff_see(case, STILL)
    on(day(2026, 12, 7))
    case.has_letter(MAIL_REMINDS, QUESTION, here.says(("16. december 2026", "16 December 2026")))
    here.follow_letter(case.letter())
    here.fill(answer=WORDS)
    here.press("answer")
    here.sees(here.says(THANKS))
    sees_clock(case, day(2027, 1, 1), day(2027, 1, 4), left(25))


def is_extended(case: Case) -> None:
    """In the last days before the limit, with a sealed letter that says until when and why."""
    here = case.here
    on(day(2026, 12, 31))
    staff_see(case, LAST_DAYS)
    case.decides("extend", REASONS)
    until = here.says(named(day(2027, 3, 4)))
    case.has_letter(MAIL_EXTENDS, REASONS, until)
    sees_clock(case, day(2027, 3, 4), day(2027, 3, 4), left(63))
    here.sees(f"{until} ({here.says(EXTENDED)})")
    here.check("right-extended")
    sealed = poppler.words(here.download_by(lambda: here.follow_exactly(here.says(LONGER))))
    assert REASONS in sealed
    assert until in sealed
    on(day(2027, 3, 4))
    sees_clock(case, day(2027, 3, 4), day(2027, 3, 4), TODAY)


def is_overdue(case: Case) -> None:
    on(day(2027, 3, 5))
    sees_clock(case, day(2027, 3, 4), day(2027, 3, 4), TOO_LATE)
    case.here.sees(case.here.says(SORRY))
    case.here.check("right-overdue")
    staff_see(case, TOO_LATE)
    staff_see(case, BROKEN)
    case.desk.sees("request-clock-overdue")
    case.desk.check("right-overdue-queue")


def sees_clock(case: Case, promised: datetime, limit: datetime, left: Words) -> None:
    """The person looks at the request and finds both dates and how much time there is."""
    case.sees_request()
    here = case.here
    here.sees(f"{here.says(PROMISED)} {here.says(named(promised))} ({here.says(left)})")
    here.sees(f"{here.says(LIMIT)} {here.says(named(limit))}")


def staff_see(case: Case, words: Words) -> None:
    """Staff find the right in their queue, and there how its clock stands."""
    case.finds_in_queue()
    row = case.desk.page.get_by_role("row").filter(has_text=case.reference)
    expect(row).to_contain_text(case.desk.says(words))


@pytest.mark.parametrize(
    ("channel", "right", "look"), _params([(channel, Right.CONSENT) for channel in Channel])
)
def test_withdrawal_is_answered_at_once(case: Case) -> None:
    here = case.here
    ASKING[case.channel](case)
    work(tasks.take_further)
    is_answered(case, State.DONE)
    expect(here.page.locator("main")).not_to_contain_text(here.says(PROMISED))
    here.window.open(path("accounts:consents"))
    here.sees(here.says(NO_CONSENTS))
