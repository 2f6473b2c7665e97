# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages of requests that the table of pages cannot reach: after a step-up, and in each state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Route

from accounts import stepup
from accounts.models import Organisation, User
from accounts.sessions import SessionStore
from gdpr.models import Package, Request, RequestedRight, Right, Step
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.visit import path
from tests.browser.window import Window

State = RequestedRight.State


def prove(window: Window) -> None:
    """Make the step-up of the window's session fresh."""
    (cookie,) = [item for item in window.page.context.cookies() if item["name"] == "sessionid"]
    session = SessionStore(cookie["value"])
    session[stepup.SESSION_KEY] = datetime.now(UTC).isoformat()
    with build.as_owner():
        session.save()


def _asked(anna: User) -> Request:
    """A request with every kind of right, each in another state."""
    now = datetime.now(UTC)
    made = build.request_of(anna, *Right, received_at=now)
    day = now.date()
    made.rights.update(promised_on=day + timedelta(days=30), due_on=day + timedelta(days=33))
    states: dict[Right, dict[str, Any]] = {
        Right.ACCESS: {"state": State.DONE, "closed_at": now},
        Right.PORTABILITY: {"state": State.ACT},
        Right.OBJECTION: {"state": State.PAUSED},
        Right.RESTRICTION: {"state": State.REFUSED, "closed_at": now, "resolution": WHY},
    }
    for right, values in states.items():
        made.rights.filter(right=right).update(**values)
    paused = made.rights.get(right=Right.OBJECTION)
    Step.objects.create(right=paused, kind="paused", by="staff", at=now, reason=WHY)
    _packages(made, anna, now)
    return made


WHY = "Oplysningerne er nødvendige for et krav, som behandles ved retten."


def _packages(made: Request, anna: User, now: datetime) -> None:
    of = {"person": anna, "sealed_key": b"x", "created_at": now, "parts_total": 18}
    Package.objects.create(
        **of, right=made.rights.get(right=Right.ACCESS), state="ready", parts_done=18,
        made_at=now, expires_at=now + timedelta(days=7), size=48_213, sha256="ab" * 32,
    )  # fmt: skip
    moving = made.rights.get(right=Right.PORTABILITY)
    Package.objects.create(**of, right=moving, state="building", parts_done=7)


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_own_requests(window: Window, organisation: Organisation, anna: User) -> None:
    with build.as_owner():
        asked = _asked(anna)
    window.sign_in(anna, organisation)
    window.open(path("gdpr:requests"))
    window.check("requests-list")
    _hold_progress(window)
    window.open(path("gdpr:request", asked.id))
    for summary in window.page.locator("summary").all():
        summary.click()
    window.check("request-states")
    window.open(path("gdpr:second-look", asked.id, Right.RESTRICTION))
    window.check("second-look")
    prove(window)
    for name in ("request-new", "correction"):
        window.open(path(f"gdpr:{name}"))
        assert window.page.url.endswith(path(f"gdpr:{name}"))
        window.check(f"{name}-form")


def _hold_progress(window: Window) -> None:
    """Let the page's asking for progress change nothing while it is being looked at.

    A swap in the middle of the look takes over style attributes of the tool that looks.
    """

    def answer(route: Route) -> None:
        if "hx-request" in route.request.headers:
            route.fulfill(status=204)
        else:
            route.continue_()

    window.page.route("**/*", answer)


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_queue_of_staff(
    window: Window, organisation: Organisation, anna: User, dorte: User
) -> None:
    with build.as_owner():
        right: UUID = _asked(anna).rights.get(right=Right.CONSENT).id
    build.second_factor(dorte)
    window.sign_in(dorte)
    for page, arguments in (("changelist", ()), ("change", (right,)), ("decide", (right,))):
        window.open(path(f"admin:gdpr_requestedright_{page}", *arguments))
        window.check(f"staff-queue-{page}")
    window.page.check('input[value="refused"]')
    window.page.fill('textarea[name="reason"]', WHY)
    window.page.click('button[value="words"]')
    window.check("staff-queue-letter")
