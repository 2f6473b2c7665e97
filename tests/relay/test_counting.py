# SPDX-License-Identifier: AGPL-3.0-or-later
"""Figures: put together without a loss, shown by hour and by day, without an address."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.test import Client

from accounts import clock
from accounts.models import Organisation, User
from relay import counting
from relay.models import Count
from tests import build
from tests.relay import pages

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, 34, tzinfo=UTC)
PAGE = "/en/statistics/"


def counted(
    organisation: Organisation,
    at: datetime,
    *,
    span: int = 5,
    part: int = 1,
    domain: str = "due.example",
    **figures: int,
) -> None:
    with build.as_owner():
        Count.objects.create(
            organisation=organisation, span=span, starts_at=at, domain=domain, part=part, **figures
        )


def rows() -> list[tuple[int, datetime, int, int]]:
    with build.as_owner():
        found = Count.objects.order_by("starts_at", "part")
        return list(found.values_list("span", "starts_at", "delivered", "octets"))


def test_no_column_can_hold_an_address() -> None:
    texts = {
        field.name
        for field in apps.get_model("relay.Count")._meta.get_fields()
        if field.get_internal_type() in ("TextField", "CharField", "JSONField", "BinaryField")
    }
    assert texts == {"domain"}


def test_parts_are_put_together_and_no_figure_is_lost(organisation: Organisation) -> None:
    old, hour = NOW - timedelta(days=3), timedelta(hours=1)
    for part, minute in enumerate((0, 5, 55)):
        counted(organisation, old.replace(minute=minute), part=part, delivered=1, octets=10)
    counted(organisation, old.replace(minute=0) + hour, delivered=7)
    counted(organisation, NOW - timedelta(hours=3), delivered=100)
    with build.as_role("duty"):
        counting.roll(NOW)
        counting.roll(NOW)
    assert rows() == [
        (60, old.replace(minute=0), 3, 30),
        (60, old.replace(minute=0) + hour, 7, 0),
        (5, NOW - timedelta(hours=3), 100, 0),
    ]
    # What comes late to an hour that is put together is added to it.
    counted(organisation, old.replace(minute=10), part=9, delivered=1)
    with build.as_role("duty"):
        counting.roll(NOW)
        assert counting.totals(organisation.id, NOW - timedelta(days=9))["delivered"] == 111


def test_hours_become_days_and_days_are_forgotten(organisation: Organisation) -> None:
    days = timedelta(days=1)
    midnight = (NOW - (counting.HOUR_DAYS + 5) * days).replace(hour=0, minute=0)
    counted(organisation, midnight, span=60, part=0, delivered=1)
    counted(organisation, midnight + timedelta(hours=23), span=60, part=0, delivered=2)
    counted(organisation, NOW - (counting.DAY_DAYS + 1) * days, span=1440, part=0, delivered=4)
    with build.as_role("duty"):
        counting.roll(NOW)
    assert rows() == [(1440, midnight, 3, 0)]


@pytest.fixture
def page(anna: User) -> Client:
    return pages.signed_in(anna)


def test_page_shows_days_and_hours_of_live_mail(page: Client, organisation: Organisation) -> None:
    assert "No figures yet" in page.get(PAGE).text
    now = clock.now()
    counted(organisation, now - timedelta(minutes=10), accepted=1234, delivered=1200, blocked=34)
    counted(organisation, now - timedelta(days=4), accepted=77, delivered=77)
    counted(organisation, now, domain="", accepted=555, sandboxed=555)
    counted(organisation, now, domain="shop.example", accepted=5, bounced_soft=5)
    days, hours = page.get(PAGE).text, page.get(PAGE, {"by": "hour"}).text
    assert ">77<" in days
    assert ">77<" not in hours
    for text in (days, hours):
        assert "1,234" in text or "1,239" in text
        assert ">555<" not in text
        assert "<rect" in text
        assert "style=" not in text[text.index("<svg") : text.index("</svg>")]
    one = page.get(PAGE, {"by": "hour", "domain": "shop.example"}).text
    assert '"Accepted">5<' in one
    assert page.get(PAGE, {"domain": "anden.example"}).status_code == 200


def test_hours_without_mail_keep_the_domain_and_lead_to_the_days(
    page: Client, organisation: Organisation
) -> None:
    before = clock.now() - timedelta(days=4)
    counted(organisation, before, accepted=7, delivered=7)
    counted(organisation, before, domain="shop.example", accepted=5, delivered=5)
    counted(organisation, clock.now(), accepted=9, delivered=9)
    text = page.get(PAGE, {"by": "hour", "domain": "shop.example"}).text
    assert "No mail in these hours" in text
    assert "No figures yet" not in text
    assert ">9<" not in text
    assert f'href="{PAGE}?domain=shop.example"' in text


def test_download_has_the_figures_and_nobody_elses(
    page: Client, organisation: Organisation
) -> None:
    counted(organisation, NOW, accepted=2, part=1)
    counted(organisation, NOW, accepted=1, part=2)
    other = build.organisation("Andet Hus A/S")
    counted(other, NOW, domain="hemmelig.example", accepted=9)
    answer = page.post(f"{PAGE}download/")
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["domain"], row["accepted"], row["minutes"]) for row in table] == [
        ("due.example", "3", "5")
    ]
