# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting mail with everything that can keep it back, for who may act and who may only look."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from accounts import clock
from accounts.models import Organisation, Role, User
from relay.models import Hold, Message, QueuedDelivery, Quota, Route
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.visit import path
from tests.browser.window import Window
from tests.relay.test_log import message

PEOPLE = ("erik@modtager.example", "ida@modtager.example", "kontakt@andet-firma.example")
REASONS = ("deferred", "unreachable", "new", "tls", "quarantined", "uncertain")


def _fill(organisation: Organisation, now: datetime) -> Message:
    """Mail of several reasons, and every kind of what keeps it back; returns a held message."""
    for number, reason in enumerate(REASONS):
        made = message(organisation, *PEOPLE[: 1 + number % 3], ago=number * 900)
        with build.as_owner():
            rows = QueuedDelivery.objects.filter(message_id=made.id)
            rows.update(reason=reason, domain="due.example", attempts=number)
            if reason == "quarantined":
                rows.update(lane=2, strikes=3)
    with build.as_owner():
        for values in (
            {"domain": "@andet-firma.example"},
            {"domain": "nyhedsbreve.due.example"},
            {"message_id": made.id},
            {"reason": "over_quota", "ends_at": now + timedelta(minutes=23)},
        ):
            Hold.objects.create(organisation=organisation, held_at=now, **values)
        Quota.objects.create(organisation=organisation, messages_an_hour=5000, messages_a_day=50000)
        of = {"organisation": organisation, "created_at": now, "host": "mail.due.example"}
        Organisation.objects.update(sending_allowed=True)
        Route.objects.create(**of, name="Hovedserver")
        Route.objects.create(**of, name="Kontorets server", rest_until=now + timedelta(minutes=4))
        Route.objects.create(**of, name="Reserve", paused_at=now, pause_reason="by_person")
    return made


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_waiting_mail(window: Window, organisation: Organisation, anna: User, dorte: User) -> None:
    made = _fill(organisation, clock.now())
    window.sign_in(anna, organisation)
    waiting = path("relay:waiting")
    for name, place in (
        ("waiting-filled", waiting),
        ("waiting-domain", f"{waiting}?to=andet-firma.example"),
        ("waiting-none", f"{waiting}?why=no_route"),
        ("waiting-cancel-domain", path("relay:cancel-all") + "?to=modtager.example"),
        ("front-waiting", "/"),
        ("message-held", path("relay:message", made.id)),
        ("message-cancel", path("relay:cancel", made.id)),
    ):
        window.open(place)
        window.check(name)
    window.open(waiting)
    window.page.locator("form[action$='/hold/'] button").click()
    window.check("waiting-all-held")
    viewer = build.person("Vera", "Seer")
    build.member(organisation, viewer, Role.VIEWER)
    window.sign_in(viewer, organisation)
    window.open(waiting)
    assert window.page.locator("main form[method='post']").count() == 0
    window.check("waiting-viewer")
    build.second_factor(dorte)
    window.sign_in(dorte)
    with build.as_owner():
        row = QueuedDelivery.objects.filter(reason="quarantined").first()
    assert row is not None
    window.open(path("admin:relay_queueddelivery_release", row.pk))
    window.check("staff-release")
