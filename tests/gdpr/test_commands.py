# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import csv
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from accounts.models import Alert, OutgoingMail
from gdpr.inventory import ENTRIES, STORES
from gdpr.models import RetentionRun
from tests import build

pytestmark = [pytest.mark.django_db, pytest.mark.as_role("duty")]


@pytest.fixture(autouse=True)
def _at_noon(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.DATABASE_ROLE = "duty"
    monkeypatch.setattr("accounts.clock.now", lambda: build.NOW)


def said(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def an_old_alert() -> None:
    long_ago = build.NOW - timedelta(days=999)
    Alert.objects.create(kind="x", first_at=long_ago, last_at=long_ago, resolved_at=long_ago)


def test_dry_run_deletes_nothing() -> None:
    an_old_alert()
    assert "1  accounts.Alert" in said("purge", "--dry-run")
    assert Alert.objects.count() == 1
    assert not RetentionRun.objects.exists()


def test_purge_deletes_and_says_how_many() -> None:
    an_old_alert()
    assert "1  accounts.Alert" in said("purge")
    assert Alert.objects.count() == 0
    assert RetentionRun.objects.get(what="accounts.Alert").rows == 1


def test_purge_fails_when_something_older_is_left() -> None:
    old = build.NOW - timedelta(days=9)
    OutgoingMail.objects.create(kind="x", sealed=b"", created_at=old, due_at=old)
    with pytest.raises(CommandError, match="accounts.OutgoingMail"):
        said("purge")


def test_purge_wants_the_role_that_sees_all(settings: Settings) -> None:
    settings.DATABASE_ROLE = "web"
    with pytest.raises(CommandError, match="duty"):
        said("purge")


def test_inventory_for_programs_names_every_field_and_store() -> None:
    rows = json.loads(said("inventory", "--format", "json"))
    assert len(rows) == sum(len(entry.names) for entry in ENTRIES) + len(STORES)
    (email,) = [row for row in rows if (row["place"], row["field"]) == ("accounts.User", "email")]
    assert email["basis"] == "contract, GDPR article 6(1)(b)"
    assert email["erasure"] == "the row is deleted"
    recipient = next(row for row in rows if row["place"] == "relay.Delivery" and row["personal"])
    assert recipient["kept"] == "30 days after the mail was accepted"
    assert recipient["figure"] == "relay.models.messages:LOG_DAYS"
    assert recipient["clock"] == "accepted_at"


def test_inventory_as_csv_has_the_same_rows() -> None:
    rows = list(csv.DictReader(StringIO(said("inventory", "--format", "csv"))))
    assert len(rows) == len(json.loads(said("inventory", "--format", "json")))


def test_inventory_for_people_is_in_their_language() -> None:
    assert "* email" in said("inventory")
    assert "30 dage efter at mailen blev modtaget" in said("inventory", "--language", "da")
