# SPDX-License-Identifier: AGPL-3.0-or-later
"""One request and the people around it: who asks, staff at their desk, the worker, the calendar.

Everybody acts by clicking and typing; the worker does what beat tells it to, in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import User
from gdpr import tasks
from gdpr.models import Request, Right
from tests import build
from tests.accounts.test_signup import letters
from tests.browser import moving
from tests.browser.visit import Visit, path

Channel = Request.Channel
Words = tuple[str, str]  # as (Danish, English)

DECIDED: Words = ("Afgjort.", "Decided.")


@dataclass(frozen=True, slots=True)
class Case:
    """`here` is the person's browser, `desk` that of staff; both speak one language."""

    channel: Channel
    right: Right
    person: User
    here: Visit
    desk: Visit

    @property
    def reference(self) -> str:
        """What the one request in the database is called by."""
        with build.as_owner():
            return Request.objects.get().reference

    def sees_request(self) -> None:
        """The person goes to it as one does: by the list of all of theirs."""
        self.here.window.open(path("gdpr:requests"))
        self.here.follow_exactly(self.reference)
        self.here.sees(self.reference)

    def letter(self) -> dict[str, Any]:
        """The newest mail to the person."""
        return [mail for mail in letters() if mail["to"] == self.person.email][-1]

    def has_letter(self, subject: Words, *words: str) -> None:
        letter = self.letter()
        assert self.here.says(subject) in letter["subject"]
        assert [word for word in words if word not in letter["text"]] == []

    def finds_in_queue(self) -> None:
        self.desk.window.open(path("admin:gdpr_requestedright_changelist"))

    def decides(self, what: str, reason: str = "") -> None:
        """Staff find the right in their queue and decide what comes next."""
        self.finds_in_queue()
        self.desk.follow_exactly(self.reference)
        self.is_decided(what, reason)

    def is_decided(self, what: str, reason: str = "") -> None:
        """From the page of the right on."""
        self.desk.follow("decide")
        self.desk.page.locator(f'[name="what"][value="{what}"]').check()
        self.desk.fill(reason=reason)
        self.desk.press("decide")
        self.desk.sees(self.desk.says(DECIDED))
        work(tasks.seal_letters)


def on(at: datetime) -> None:
    """Make it another day, on which the clocks are looked at as on every day."""
    moving.go_to(at)
    work(tasks.escalate)


def work(act: Callable[[], object]) -> None:
    """Have the worker do something; in a thread of its own, as this one's loop is the browser's."""
    with ThreadPoolExecutor(1) as worker:
        worker.submit(_on_duty, act).result()


def _on_duty(act: Callable[[], object]) -> None:
    try:
        with build.as_role("duty"):
            act()
    finally:
        connection.close()
