# SPDX-License-Identifier: AGPL-3.0-or-later
"""Too much mail that comes back stops a domain; a person lets it go on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import ProgrammingError
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from accounts import alerts, clock
from accounts.models import AuditEvent, Organisation, OutgoingMail, Role, User
from accounts.tenancy import organisation_context
from relay import bouncerates, reviews, waitlist
from relay.models import Count, Hold, QueuedDelivery, Review
from tests import build
from tests.accounts.test_staffsite import verified
from tests.relay import pages
from tests.relay.test_log import message

pytestmark = pytest.mark.django_db


def counted(
    organisation: Organisation, at: datetime, domain: str = "due.example", **figures: Any
) -> None:
    with build.as_owner():
        Count.objects.create(
            organisation=organisation, span=5, starts_at=at, domain=domain, part=1, **figures
        )


def look(now: datetime) -> int:
    with build.as_role("duty"):
        found = bouncerates.look(now)
        reviews.tell()
    return found


def opened() -> list[str]:
    with build.as_owner():
        return sorted(alert.kind for alert in alerts.open_alerts())


@pytest.mark.behaviour(42)
@pytest.mark.parametrize(
    ("figures", "stops"),
    [
        ({"delivered": 189, "bounced_hard": 11}, True),
        ({"delivered": 190, "bounced_hard": 10}, False),
        ({"delivered": 188, "bounced_hard": 11}, False),
        ({"delivered": 170, "blocked": 30}, False),
        ({"delivered": 170, "bounced_soft": 20, "expired": 10}, False),
        ({"delivered": 200, "returned": 11, "returned_hard": 11}, True),
        ({"delivered": 200, "returned": 40, "returned_hard": 10}, False),
        ({"delivered": 100, "deferred": 500, "bounced_hard": 50}, False),
    ],
)
def test_more_than_the_most_of_enough_deliveries_stops_a_domain(
    organisation: Organisation, bo: User, figures: dict[str, Any], stops: bool
) -> None:
    now = clock.now()
    counted(organisation, now - timedelta(minutes=30), **figures)
    counted(organisation, now - timedelta(minutes=30), domain="", bounced_hard=500)
    counted(organisation, now - timedelta(minutes=65), domain="x.example", bounced_hard=500)
    assert look(now) == stops
    with build.as_owner():
        holds = Hold.objects.filter(organisation=organisation, reason="bounces")
        assert [hold.domain for hold in holds] == (["due.example"] if stops else [])
        told = OutgoingMail.objects.filter(kind="domain_stopped").count()
    assert (told, opened()) == ((2, ["bounce-rate"]) if stops else (0, []))
    # What is stopped already is not stopped again.
    assert look(now) == 0


def test_what_waits_says_that_somebody_has_to_look(anna: User, organisation: Organisation) -> None:
    message(organisation, "erik@modtager.example")
    with build.as_owner():
        QueuedDelivery.objects.update(domain="due.example")
    counted(organisation, clock.now(), delivered=1, bounced_hard=300)
    look(clock.now())
    with build.as_owner():
        (reason,) = waitlist.counts(organisation.id, clock.now()).reasons
    assert (reason.value, reason.next_at) == ("bounces", None)
    text = pages.signed_in(anna).get("/en/waiting/").text
    assert "once somebody has looked at it" in text
    assert "Mail from due.example is stopped" in text


def stopped(organisation: Organisation) -> Review:
    with build.as_owner():
        row = Review.objects.create(
            organisation=organisation,
            domain="due.example",
            opened_at=clock.now(),
            done=400,
            hard=40,
        )
        bouncerates.hold(row, clock.now())
    return row


def recorded() -> list[tuple[str, list[str]]]:
    with build.as_owner():
        rows = AuditEvent.objects.filter(action__startswith="review").order_by("id")
        return [(row.action, list(row.fields)) for row in rows]


def test_who_is_concerned_asks_for_a_person(anna: User, organisation: Organisation) -> None:
    row, page = stopped(organisation), pages.signed_in(anna)
    text = page.get(f"/en/reviews/{row.id}/").text
    assert "10.0 %" in text
    assert "Ask for a person" in text
    answer = page.post(f"/en/privacy/reviews/{row.id}/ask/", follow=True).text
    assert "A person looks at it and decides" in answer
    assert "Ask for a person" not in answer
    page.post(f"/en/privacy/reviews/{row.id}/ask/")
    assert recorded() == [("review.review-asked", [])]
    look(clock.now())
    assert opened() == ["review-asked"]


def test_portal_can_decide_nothing(organisation: Organisation) -> None:
    """Whoever writes SQL as the role of the portal lets no mail go on."""
    stopped(organisation)
    for fields in ({"decision": "resumed"}, {"decided_at": clock.now()}, {"domain": "x.example"}):
        with pytest.raises(ProgrammingError), organisation_context(organisation.id):
            Review.objects.update(**fields)


def decide(page: Client, row: Review, action: str) -> str:
    with override("en"):
        path = reverse("admin:relay_review_changelist")
    values: dict[str, Any] = {"action": action, "_selected_action": [str(row.pk)]}
    return page.post(path, values, follow=True).text


def test_staff_decide_and_the_mail_goes_on(dorte: User, organisation: Organisation) -> None:
    row, page, now = stopped(organisation), verified(dorte), clock.now()
    counted(organisation, now - timedelta(minutes=20), bounced_hard=300)
    assert "Decided" in decide(page, row, "keep")
    assert look(now) == 0
    assert "Somebody has decided on it already" in decide(page, row, "keep")
    assert "Decided" in decide(page, row, "resume")
    with build.as_owner():
        assert not Hold.objects.filter(reason="bounces").exists()
    text = pages.member(organisation, Role.VIEWER).get(f"/en/reviews/{row.id}/").text
    assert "Mail from due.example was stopped" in text
    assert recorded() == [
        ("review.review-decided", ["decision-kept"]),
        ("review.review-decided", ["decision-resumed"]),
    ]
    # What was before the decision counts no more, and what comes after does.
    assert look(now) == 0
    later = now + timedelta(minutes=10)
    counted(organisation, later, bounced_hard=300)
    assert look(later) == 1


def test_staff_lift_no_other_hold(dorte: User, organisation: Organisation) -> None:
    row = stopped(organisation)
    with build.as_owner():
        Hold.objects.create(organisation=organisation, domain="due.example", held_at=clock.now())
    decide(verified(dorte), row, "resume")
    with build.as_owner():
        assert [hold.reason for hold in Hold.objects.all()] == ["held"]


def test_viewer_sees_the_figures_and_no_button(organisation: Organisation) -> None:
    row = stopped(organisation)
    text = pages.member(organisation, Role.VIEWER).get(f"/en/reviews/{row.id}/").text
    assert "400" in text
    assert "Ask for a person" not in text
