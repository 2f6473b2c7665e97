# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages whose tables are empty elsewhere: gauges, suppliers, promises, figures of mail."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from accounts.models import Organisation, PromiseResult, User
from config.demo.register import SUPPLIERS
from config.promises import PROMISES
from gdpr.inventory import timed_entries
from gdpr.models import Import, Recipient, RetentionGauge
from relay.models import Count, Route, Suppression
from tests import build
from tests.browser.matrix import EVERY_LOOK
from tests.browser.visit import path
from tests.browser.window import Window


def _fill(now: datetime) -> None:
    """The second row of each kind is a bad one."""
    with build.as_owner():
        for number, promise in enumerate(PROMISES):
            PromiseResult.objects.create(id=promise.id, holds=number != 1, checked_at=now)
        for number, entry in enumerate(timed_entries()):
            late = 3600 if number == 1 else None
            RetentionGauge.objects.create(
                what=entry.model, measured_at=now, over_seconds=late, due=0
            )
        for supplier in SUPPLIERS:
            Recipient.objects.create(**asdict(supplier), reviewed_on=now.date())


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_filled_pages(window: Window, organisation: Organisation, anna: User) -> None:
    _fill(datetime.now(UTC))
    for name, place in (
        ("retention", "/privacy/retention/"),
        ("recipients", "/privacy/recipients/"),
    ):
        window.open(place)
        window.check(f"{name}-filled")
    window.sign_in(anna, organisation)
    window.open("/proof/")
    window.check("proof-filled")


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_package_that_waits_for_a_yes(
    window: Window, organisation: Organisation, anna: User
) -> None:
    """One value of each fate, and a long one."""
    row = {"email": anna.email, "title": "Direktør " * 11, "last_login": "2026-01-01T00:00:00Z"}
    records = [
        {"table": "accounts.User", "row": row},
        {"table": "relay.SendingDomain", "row": {"name": "due.example"}},
    ]
    now = datetime.now(UTC)
    with build.as_owner():
        Import.objects.create(person=anna, records=records, made_at=now, proposed_at=now)
    window.sign_in(anna, organisation)
    window.open(path("gdpr:import-plan"))
    window.check("import-plan")


def _fill_sending(organisation: Organisation, now: datetime) -> Route:
    """Figures of domains with long names, and a route whose server failed."""
    of = {"organisation": organisation}
    with build.as_owner():
        for number, name in enumerate(("due", "nyhedsbreve.kundeafdelingen.due")):
            Count.objects.create(
                **of, span=5, starts_at=now - timedelta(days=number), domain=f"{name}.example",
                part=0, accepted=123456, delivered=111000, bounced_hard=456, expired=12000,
            )  # fmt: skip
        Suppression.objects.create(
            **of, address="en-lang.adresse@kundeafdelingen.modtager.example", address_hash=b"x",
            reason=Suppression.Reason.COMPLAINT, created_at=now,
            expires_at=now + timedelta(days=90),
        )  # fmt: skip
        return Route.objects.create(
            **of, name="Server", host="mail.kundeafdelingen.due.example", created_at=now,
            failed_at=now, failed_code=454, failed_enhanced="4.7.0", failed_stage="starttls",
            rest_until=now + timedelta(minutes=20),
        )  # fmt: skip


@pytest.mark.parametrize("look", EVERY_LOOK)
def test_sending_with_figures_and_failures(
    window: Window, organisation: Organisation, anna: User
) -> None:
    route = _fill_sending(organisation, datetime.now(UTC))
    window.sign_in(anna, organisation)
    for name, place in (
        ("statistics", path("relay:statistics")),
        ("suppressions", path("relay:suppressions")),
        ("routes", path("relay:routes")),
        ("route", path("relay:route", route.id)),
    ):
        window.open(place)
        window.check(f"{name}-filled")
