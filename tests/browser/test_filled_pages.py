# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages whose tables are empty elsewhere: gauges, suppliers, results of promises."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from accounts.models import Organisation, PromiseResult, User
from config.demo.register import SUPPLIERS
from config.promises import PROMISES
from gdpr.inventory import timed_entries
from gdpr.models import Recipient, RetentionGauge
from tests import build
from tests.browser.test_requests import LOOKS
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


@pytest.mark.parametrize("look", LOOKS)
def test_filled_pages(window: Window, organisation: Organisation, anna: User) -> None:
    _fill(datetime.now(UTC))
    for name, path in (
        ("retention", "/privacy/retention/"),
        ("recipients", "/privacy/recipients/"),
    ):
        window.open(path)
        window.check(f"{name}-filled")
    window.sign_in(anna, organisation)
    window.open("/proof/")
    window.check("proof-filled")
